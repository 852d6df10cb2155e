package config

import (
	"strings"
	"testing"
)

// TestDocumentation keeps docs/configuration.md current.
func TestDocumentation(t *testing.T) {
	var b strings.Builder
	Documentation(&b)
	golden(t, "../docs/configuration.md", b.String())
}
