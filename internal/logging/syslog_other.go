//go:build windows || plan9

package logging

import "errors"

// openSyslog refuses: there is no syslog here.
func openSyslog(Options) (destination, error) {
	return destination{}, errors.New("error connecting to syslog: this system has none")
}
