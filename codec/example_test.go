package codec_test

import (
	"fmt"

	"peregrine/codec"
)

// A connection offers what it has read, uses the frames and keeps the rest.
func ExampleParser_Next() {
	p := codec.Parser{MaxPayload: 1 << 20}
	var f codec.Frame
	var kept []byte
	for _, read := range []string{"PING\r\nPUB orders.1 5\r\nhe", "llo\r\nPUX"} {
		kept = append(kept, read...)
		for {
			n, err := p.Next(kept, &f)
			if err != nil {
				fmt.Println(err, "→", err.(*codec.Error).Kind.Reply())
				return
			}
			if n == 0 {
				break
			}
			switch f.Op {
			case codec.OpPing:
				fmt.Printf("%q\n", codec.AppendPong(nil))
			case codec.OpPub:
				msg := codec.AppendMsgPrefix(nil, f.Subject, []byte("7"))
				fmt.Printf("%q\n", append(msg, f.Tail...))
			}
			kept = kept[n:]
		}
	}
	// Output:
	// "PONG\r\n"
	// "MSG orders.1 7 5\r\nhello\r\n"
	// parser ERROR, state=30, i=2: proto='""...' → Unknown Protocol Operation
}
