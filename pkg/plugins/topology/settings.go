package topology

import (
	"slices"
	"strings"
	"time"

	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/zone"
)

const (
	// mostLevels bounds the work a node takes; zone.Ref could hold 64.
	mostLevels = 32
	// mostPrice bounds prices, so that sums of them stay exact enough.
	mostPrice = 1_000_000
	// zoneAlias is the level that replicas and traffic are spread over.
	zoneAlias = "zone"
)

func (a *Args) validate(path *field.Path) field.ErrorList {
	errs := adapt.Within(path.Child("groupTimeoutSeconds"), a.GroupTimeoutSeconds, 1, 600)
	errs = append(errs, adapt.Within(path.Child("reservationSeconds"), a.ReservationSeconds, 1, 3600)...)
	errs = append(errs, adapt.Within(path.Child("podGroupPollSeconds"), a.PodGroupPollSeconds, 1, 3600)...)
	errs = append(errs, a.validateLevels(path.Child("levels"))...)
	return append(errs, a.validatePrices(path)...)
}

func (a *Args) validateLevels(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(a.Levels) == 0 {
		errs = append(errs, field.Required(path, "at least one level, or leave the field out"))
	}
	if len(a.Levels) > mostLevels {
		errs = append(errs, field.TooMany(path, len(a.Levels), mostLevels))
	}
	seen := map[string]bool{}
	for i, level := range a.Levels {
		at := path.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(level.Key, at.Child("key"))...)
		if seen[level.Key] {
			errs = append(errs, field.Duplicate(at.Child("key"), level.Key))
		}
		seen[level.Key] = true
		if level.Alias == "" {
			continue
		}
		for _, wrong := range validation.IsDNS1123Label(level.Alias) {
			errs = append(errs, field.Invalid(at.Child("alias"), level.Alias, wrong))
		}
	}
	return errs
}

func (a *Args) validatePrices(path *field.Path) field.ErrorList {
	errs := price(path.Child("pricePerGBElsewhere"), a.PricePerGBElsewhere)
	type pair struct{ from, to string }
	seen := map[pair]bool{}
	for i, p := range a.Prices {
		at := path.Child("prices").Index(i)
		if p.From == "" {
			errs = append(errs, field.Required(at.Child("from"), "the zone of the caller"))
		}
		if p.To == "" {
			errs = append(errs, field.Required(at.Child("to"), "the zone of the endpoint"))
		}
		if seen[pair{p.From, p.To}] {
			errs = append(errs, field.Duplicate(at, p.From+" to "+p.To))
		}
		seen[pair{p.From, p.To}] = true
		errs = append(errs, price(at.Child("perGB"), p.PerGB)...)
	}
	return errs
}

func price(path *field.Path, value float64) field.ErrorList {
	if value >= 0 && value <= mostPrice { // not so for NaN either
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "want 0 to 1000000")}
}

func (a *Args) levels() []zone.Level {
	out := make([]zone.Level, len(a.Levels))
	for i, level := range a.Levels {
		out[i] = zone.Level{Key: level.Key, Alias: level.Alias}
	}
	return out
}

// prices are nil if none are set: traffic is not counted in money then.
func (a *Args) prices() *zone.Prices {
	if len(a.Prices) == 0 && a.PricePerGBElsewhere == 0 {
		return nil
	}
	out := zone.NewPrices(a.PricePerGBElsewhere)
	for _, p := range a.Prices {
		out.Set(p.From, p.To, p.PerGB)
	}
	return out
}

// words lists what annotations may call a level, for the reader of an error.
func (a *Args) words() string {
	var aliases, keys []string
	for _, level := range a.Levels {
		if level.Alias == "" {
			keys = append(keys, level.Key)
		} else if !slices.Contains(aliases, level.Alias) {
			aliases = append(aliases, level.Alias)
		}
	}
	return "want one of " + strings.Join(append(aliases, keys...), ", ") + ", or the label key of one of them"
}

func (a *Args) groupTimeout() time.Duration {
	return time.Duration(a.GroupTimeoutSeconds) * time.Second
}

func (a *Args) reservation() time.Duration { return time.Duration(a.ReservationSeconds) * time.Second }

func (a *Args) podGroupPoll() time.Duration {
	return time.Duration(a.PodGroupPollSeconds) * time.Second
}
