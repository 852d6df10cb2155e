package account

import (
	"errors"
	"fmt"
)

// What may be wrong with an export, an import or a mapping. The texts are the
// reference's.
var (
	ErrExportSubject     = errors.New("invalid subject")
	ErrLatencySubject    = errors.New("invalid publish subject")
	ErrLatencyType       = errors.New("bad service response type")
	ErrMissingAccount    = errors.New("account missing")
	ErrStreamNotAllowed  = errors.New("stream import not authorized")
	ErrServiceNotAllowed = errors.New("service import not authorized")
	ErrPrefix            = errors.New("stream import prefix can not contain wildcard tokens")
	ErrStreamTwice       = errors.New("stream import already exists")
	ErrCycle             = errors.New("import forms a cycle")
	ErrCycleDepth        = errors.New("search cycle depth exhausted")
)

// Problem is a part of a definition that does not take effect.
type Problem struct {
	Account string
	// One of the next three is set; all point into the definition.
	Export  *Export
	Import  *Import
	Mapping *Mapping
	Err     error
}

func (p *Problem) Error() string {
	switch {
	case p.Export != nil:
		return fmt.Sprintf("account %q: %s export %q: %v", p.Account, kind(p.Export.Service), p.Export.Subject, p.Err)
	case p.Import != nil:
		return fmt.Sprintf("account %q: %s import %q from account %q: %v", p.Account, kind(p.Import.Service), p.Import.Subject, p.Import.Account, p.Err)
	}
	return fmt.Sprintf("account %q: mapping %q: %v", p.Account, p.Mapping.Source, p.Err)
}

// Unwrap returns the reason.
func (p *Problem) Unwrap() error { return p.Err }
