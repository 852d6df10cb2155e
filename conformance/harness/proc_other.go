//go:build !linux

package harness

import "os/exec"

func endWithParent(*exec.Cmd) {}

// RSS needs /proc; elsewhere the test is skipped.
func (s *Server) RSS() int64 { s.tb.Skip("resident memory is read from /proc"); return 0 }

// PeakRSS needs /proc; elsewhere the test is skipped.
func (s *Server) PeakRSS() int64 { return s.RSS() }

// FDs needs /proc; elsewhere the test is skipped.
func (s *Server) FDs() int { s.tb.Skip("descriptors are read from /proc"); return 0 }
