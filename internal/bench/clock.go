package bench

import "time"

var epoch = time.Now()

// nanotime is monotonic, in nanoseconds since the process began.
func nanotime() int64 { return int64(time.Since(epoch)) }
