package enginetest

import (
	"testing"

	"peregrine/loop"
	"peregrine/loop/gnet"
)

// engines are what each test runs on.
var engines = map[string]func() (loop.Engine, error){"gnet": gnet.New}

// newEngine makes the engines of the running test; tests run one at a time.
var newEngine func() (loop.Engine, error)

// each runs a test on every engine.
func each(t *testing.T, test func(t *testing.T)) {
	for name, make := range engines {
		t.Run(name, func(t *testing.T) {
			newEngine = make
			test(t)
		})
	}
}
