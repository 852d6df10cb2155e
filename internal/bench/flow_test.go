package bench

import (
	"sync"
	"testing"
)

func TestFlowHoldsPublishersBack(t *testing.T) {
	f := newFlow(10)
	if !f.claim(10) {
		t.Fatal("the window is free")
	}
	var claimed sync.WaitGroup
	claimed.Go(func() {
		if !f.claim(4) {
			t.Error("claim failed")
		}
	})
	for f.waiting.Load() == 0 {
		yieldNow()
	}
	f.arrived(4) // 6 under way: more than half
	if f.sent.Load() != 10 {
		t.Fatal("claimed too early")
	}
	f.arrived(1)
	claimed.Wait()
	if f.sent.Load() != 14 {
		t.Fatalf("sent %d", f.sent.Load())
	}
}

func TestFlowLetsOneLargeClaimThrough(t *testing.T) {
	f := newFlow(2)
	if !f.claim(1000) || f.sent.Load() != 1000 {
		t.Fatal("a claim beyond the window must pass when nothing is under way")
	}
}

func TestWreckReleasesWaiters(t *testing.T) {
	f := newFlow(1)
	f.claim(1)
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() {
			if f.claim(1) {
				t.Error("claimed on a wreck")
			}
		})
	}
	for f.waiting.Load() != 3 {
		yieldNow()
	}
	f.wreck()
	waiters.Wait()
}
