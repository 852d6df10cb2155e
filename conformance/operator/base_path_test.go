package operator

import (
	"fmt"
	"testing"

	"peregrine/conformance/harness"
)

// TestMonitorBasePath compares the status of pages under another path.
func TestMonitorBasePath(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"/", "x", "/x", "/x/", "//x/../y"} {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			conf := configFile(t, fmt.Sprintf("http_base_path: %q\n", base))
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Start(t, seat, "-m", "-1", "-c", conf)
				outcome := ""
				for _, path := range []string{"/", "/varz", "/x", "/x/", "/x/varz", "/y", "/y/healthz", "/x/y/varz"} {
					status, kind, _ := get(t, server, path)
					outcome += fmt.Sprintln(path, status, kind)
				}
				return outcome
			})
		})
	}
}
