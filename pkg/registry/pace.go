package registry

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// maxPaces bounds memory: whoever names images chooses endpoints.
const maxPaces = 4096

// paces holds how fast each endpoint may be asked.
type paces struct {
	clock clock.Clock
	limit rate.Limit
	burst int

	mu     sync.Mutex
	byHost map[string]*pace
}

// of returns the pace of the endpoint. If there are too many, those that hold
// nothing up are forgotten; if that is not enough, all are.
func (p *paces) of(host string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	host = canonical(host)
	if found := p.byHost[host]; found != nil {
		return found
	}
	if len(p.byHost) >= maxPaces {
		now := p.clock.Now()
		for name, one := range p.byHost {
			if len(one.head) == 0 && one.bucket.TokensAt(now) >= float64(p.burst) {
				delete(p.byHost, name)
			}
		}
		if len(p.byHost) >= maxPaces {
			clear(p.byHost)
		}
	}
	made := &pace{clock: p.clock, bucket: rate.NewLimiter(p.limit, p.burst), head: make(chan struct{}, 1)}
	p.byHost[host] = made
	return made
}

// pace is how fast one endpoint may be asked: a token for each inspection.
type pace struct {
	clock  clock.Clock
	bucket *rate.Limiter
	// head is full while somebody is first in line. Only the first holds a
	// reservation, so that those who give up leave no debt to wait off.
	head chan struct{}
}

// turn waits, first come, first served, until the endpoint may be asked or the
// context is done. It gives up its place once there is a pause, which it
// returns.
func (p *pace) turn(ctx context.Context, pause func() time.Duration) (time.Duration, error) {
	if left := pause(); left > 0 {
		return left, nil
	}
	select {
	case p.head <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-p.head }()
	if left := pause(); left > 0 { // began while others were first
		return left, nil
	}
	if err := p.take(ctx); err != nil {
		return 0, err
	}
	return pause(), nil
}

// take waits for a token.
func (p *pace) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := p.clock.Now()
	token := p.bucket.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	timer := p.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		token.CancelAt(p.clock.Now())
		return ctx.Err()
	}
}
