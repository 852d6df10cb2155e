//go:build !linux

package storebench

// forget cannot be had here: cold figures are warm.
func forget(string) error { return nil }

func fileSystem(string) string { return "unknown" }
