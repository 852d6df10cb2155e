package transform

import (
	"errors"
	"fmt"
)

// ErrBadSubject says that source or destination is not a subject, that the
// destination has a `*`, or that only one of them ends with `>`.
var ErrBadSubject = errors.New("invalid subject")

// ErrNoTransforms says that a subject does not match a transform's source.
var ErrNoTransforms = errors.New("no matching transforms available")

// ErrDestination is what all errors about destinations wrap.
var ErrDestination = errors.New("invalid mapping destination")

// What may be wrong with a destination.
var (
	ErrInvalidTransform = fmt.Errorf("%w: invalid transform", ErrDestination)
	ErrUnusedWildcards  = fmt.Errorf("%w: not using all of the token wildcard(s)", ErrDestination)
	ErrUnknownFunction  = fmt.Errorf("%w: unknown function", ErrDestination)
	ErrIndexOutOfRange  = fmt.Errorf("%w: wildcard index out of range", ErrDestination)
	ErrNotEnoughArgs    = fmt.Errorf("%w: not enough arguments passed to the function", ErrDestination)
	ErrInvalidArg       = fmt.Errorf("%w: function argument is invalid or in the wrong format", ErrDestination)
	ErrTooManyArgs      = fmt.Errorf("%w: too many arguments passed to the function", ErrDestination)
	ErrNotForImport     = fmt.Errorf("%w: the only mapping function allowed for import transforms is {{Wildcard()}}", ErrDestination)
)

// What may be wrong with a list of destinations.
var (
	ErrWeight      = errors.New("individual weights need to be <= 100")
	ErrTotalWeight = errors.New("total weight needs to be <= 100")
)

// DestinationError tells which token of a destination is wrong, and how.
type DestinationError struct {
	Token  string // may be empty
	Reason error  // one of the errors above
}

func (e *DestinationError) Error() string {
	if e.Token == "" {
		return e.Reason.Error()
	}
	return e.Reason.Error() + " in " + e.Token
}

// Unwrap returns the reason.
func (e *DestinationError) Unwrap() error { return e.Reason }
