package zone

import (
	"fmt"
	"testing"
)

// largeCluster is 5,000 nodes in 3 zones and 100 racks, with the twelve levels
// that several clouds have between them.
func largeCluster() ([]Level, []Node) {
	levels := []Level{{Key: "topology.kubernetes.io/region", Alias: "region"}, {Key: "topology.kubernetes.io/zone", Alias: "zone"}}
	for i := range 7 {
		levels = append(levels, Level{Key: fmt.Sprintf("cloud.example.com/layer-%d", i), Alias: "block"})
	}
	levels = append(levels, Level{Key: "topology.kubernetes.io/rack", Alias: "rack"},
		Level{Key: "nvidia.com/gpu.clique", Alias: "clique"}, Level{Key: "kubernetes.io/hostname", Alias: "host"})
	var nodes []Node
	for i := range 5000 {
		values := make([]string, len(levels))
		rack := i * 7919 % 100
		values[0], values[1] = "eu", fmt.Sprintf("eu-1%c", 'a'+rack%3)
		values[9] = fmt.Sprintf("r%d", rack)
		values[11] = fmt.Sprintf("node-%05d.eu.internal", i)
		if i%10 == 0 {
			values[10] = fmt.Sprintf("cluster.%d", rack)
		}
		if i%50 == 0 {
			values[1] = "" // found by its rack
		}
		nodes = append(nodes, Node{Name: values[11], Values: values})
	}
	return levels, nodes
}

func BenchmarkBuild(b *testing.B) {
	levels, nodes := largeCluster()
	b.ReportAllocs()
	for b.Loop() {
		Build(levels, nodes)
	}
}

func BenchmarkLookups(b *testing.B) {
	levels, nodes := largeCluster()
	tree := Build(levels, nodes)
	rack, _ := tree.Ref("rack")
	zone, _ := tree.Ref("zone")
	name := nodes[4711].Name
	d := tree.DomainOf(4711, rack)
	for what, lookup := range map[string]func(){
		"Node":              func() { tree.Node(name) },
		"DomainOf/rack":     func() { tree.DomainOf(4711, rack) },
		"DomainOf/zone":     func() { tree.DomainOf(4711, zone) },
		"Contains":          func() { tree.Contains(d, 4711) },
		"Nodes":             func() { tree.Nodes(d) },
		"At":                func() { tree.At(rack) },
		"Find/3 levels":     func() { tree.Find("region=eu/zone=eu-1a/rack=r3") },
		"Path/3 levels":     func() { tree.Path(d) },
		"Common/of 2 racks": func() { tree.Common(d, d+700) },
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				lookup()
			}
		})
	}
}

// fits4 is the free part of nodes, and what a pod needs of four resources.
func fits4(nodes int) ([]Amounts, Amounts) {
	free := make([]Amounts, nodes)
	for i := range free {
		at := int64(i * 7919 % 97)
		free[i] = Amounts{at * 1000, at << 30, 100, at % 9}
	}
	return free, Amounts{8000, 32 << 30, 1, 1}
}

func BenchmarkFits(b *testing.B) {
	free, need := fits4(1024)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		Fits(&free[i%1024], &need, 512)
		i++
	}
}

func BenchmarkNewRoomAndChoose(b *testing.B) {
	levels, nodes := largeCluster()
	tree := Build(levels, nodes)
	rack, _ := tree.Ref("rack")
	zone, _ := tree.Ref("zone")
	host, _ := tree.Ref("host")
	free, need := fits4(len(nodes))
	fits := func(n NodeID) int64 { return Fits(&free[n], &need, 512) }
	for what, ask := range map[string]Ask{
		"rack":              {Pods: 16, Required: rack},
		"rack climbs":       {Pods: 5000, Preferred: rack},
		"host, rack, zone":  {Pods: 400, Preferred: host, Required: zone},
		"20 racks excepted": {Pods: 16, Required: rack, Except: tree.At(rack)[:20]},
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				NewRoom(tree, fits).Choose(ask)
			}
		})
	}
	room := NewRoom(tree, fits)
	b.Run("only Choose", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			room.Choose(Ask{Pods: 16, Required: rack})
		}
	})
	b.Run("only Fill", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			room.Fill(tree, fits)
		}
	})
	b.Run("only Plan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			room.Plan(Root, 100)
		}
	})
}

func BenchmarkRank(b *testing.B) {
	zones := []ZoneState{{3, 40}, {2, 40}, {0, 40}}
	into := make([]int, len(zones))
	b.Run("spread over 3 zones", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Spread{9, 3, 2}.Rank(zones, into)
		}
	})
	peers, names, callers := Peers{"a": 0.5, "b": 0.3, "c": 0.2}, []string{"a", "b", "c"}, []int64{4, 2, 1}
	b.Run("near, 3 zones", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			RankNear(peers, names, callers, nil, into)
		}
	})
	prices := NewPrices(0.02)
	b.Run("near, 3 zones with prices", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			RankNear(peers, names, callers, prices, into)
		}
	})
}

// TestLookupsDoNotAllocate: they are made for every node of a scheduling cycle.
func TestLookupsDoNotAllocate(t *testing.T) {
	levels, nodes := largeCluster()
	tree := Build(levels, nodes)
	rack, _ := tree.Ref("rack")
	room := NewRoom(tree, func(NodeID) int64 { return 1 })
	zones, into := []ZoneState{{3, 40}, {2, 40}, {0, 40}}, make([]int, 3)
	free, need := fits4(1)
	peers, names := Peers{"a": 1}, []string{"a", "b", "c"}
	for what, lookup := range map[string]func(){
		"Node":     func() { tree.Node(nodes[7].Name) },
		"DomainOf": func() { tree.DomainOf(7, rack) },
		"Contains": func() { tree.Contains(7, 7) },
		"Nodes":    func() { tree.Nodes(7) },
		"At":       func() { tree.At(rack) },
		"In":       func() { room.In(7) },
		"Fits":     func() { Fits(&free[0], &need, 512) },
		"Fill":     func() { room.Fill(tree, func(NodeID) int64 { return 1 }) },
		"Rank":     func() { Spread{9, 3, 2}.Rank(zones, into) },
		"RankNear": func() { RankNear(peers, names, nil, nil, into) },
	} {
		if got := testing.AllocsPerRun(100, lookup); got != 0 {
			t.Errorf("%s: %v allocations", what, got)
		}
	}
}
