package harness

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
)

var addresses atomic.Uint32

// OwnAddress returns a loopback address that no other test listens on, for a
// server that is to come back to its port. Between two lives the port is free, and
// on the common address any other server or client may be given it. Systems with
// one loopback address only get that.
func OwnAddress() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	n := uint32(os.Getpid())<<8 + addresses.Add(1)&0xff
	return fmt.Sprintf("127.%d.%d.%d", 1+(n>>16)%254, n>>8&0xff, 1+n%254)
}
