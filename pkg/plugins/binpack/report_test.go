package binpack

import (
	"strings"
	"testing"

	"k8s.io/component-base/metrics/testutil"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// profile is a handle whose profile has these plugins score.
type profile struct {
	fwk.Handle
	name string
	set  config.Plugins
}

func (p *profile) ProfileName() string          { return p.name }
func (p *profile) ListPlugins() *config.Plugins { return &p.set }

type lastReason struct{ verdict.Reason }

func (l *lastReason) Placed(_, _, _, _ string, reason verdict.Reason) { l.Reason = reason }

// TestReasonsClaimNoChoiceWhereNothingWasCompared: one node is used, one is empty, and
// the pod goes to the latter.
func TestReasonsClaimNoChoiceWhereNothingWasCompared(t *testing.T) {
	for name, tc := range map[string]struct {
		scores   string
		compared []string
		want     verdict.Code
		counted  float64
	}{
		"both were compared":                    {Name, []string{"used", "empty"}, verdict.PackingOutweighed, 1},
		"one alone can take it":                 {Name, nil, verdict.NotPacked, 1},
		"one alone can take it, and is scored":  {Name, []string{"empty"}, verdict.NotPacked, 1},
		"the profile has another plugin decide": {"NodeResourcesFit", nil, verdict.NotPacked, 0},
		"the used one is no better to this pod": {Name, []string{"empty", "empty-too"}, verdict.OpenedEmptyNode, 1},
		"scored as if, in a profile without it": {"NodeResourcesFit", []string{"used", "empty"}, verdict.NotPacked, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, snapshot := build(t, "", "used cpu=10 memory=10Gi\nempty cpu=10 memory=10Gi\nempty-too cpu=10 memory=10Gi", "a cpu=3 memory=3Gi node=used")
			said := &lastReason{}
			handle := &profile{Handle: p.handle, name: strings.ReplaceAll(name, " ", "-")}
			handle.set.Score.Enabled = []config.Plugin{{Name: tc.scores}}
			p.handle, p.recorder, p.scores = handle, said, func() bool { return scoresIn(handle) }

			pod, state := onePod(t, "p cpu=1 memory=1Gi"), framework.NewCycleState()
			p.PreFilter(t.Context(), state, pod, nil)
			var list fwk.NodeScoreList
			for _, node := range tc.compared {
				info, err := snapshot.NodeInfos().Get(node)
				if err != nil {
					t.Fatal(err)
				}
				score, _ := p.Score(t.Context(), state, pod, info)
				list = append(list, fwk.NodeScore{Name: node, Score: score})
			}
			if len(list) > 0 {
				p.NormalizeScore(t.Context(), state, pod, list)
			}
			if status := p.Reserve(t.Context(), state, pod, "empty"); !status.IsSuccess() {
				t.Fatal(status)
			}
			p.PostBind(t.Context(), state, pod, "empty")
			if said.Code != tc.want || !strings.Contains(said.Message, "cpu at 10% after placement, target 80%") {
				t.Errorf("%s (%s), want %s", said.Code, said.Message, tc.want)
			}
			got, err := testutil.GetCounterMetricValue(metrics.Placements.WithLabelValues(handle.name, "opens"))
			if err != nil || got != tc.counted {
				t.Errorf("%v placements are counted (%v), want %v", got, err, tc.counted)
			}
		})
	}
}
