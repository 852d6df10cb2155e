package script

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"peregrine/conformance/harness"
)

var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	"INT": syscall.SIGINT, "TERM": syscall.SIGTERM,
}

// player runs one script against one server.
type player struct {
	server *harness.Server
	peers  map[string]*peer
	asked  map[string][]byte // the last request's subject for answers, by name
	nonces map[string][]byte // the last one of INFO, by name
	order  []string          // names as they were opened
	logged int               // lines of the log that logs steps have passed
	out    Transcript

	keepPings bool
}

// Play runs s against server. An error tells the line that could not be
// finished; the transcript so far comes with it.
func Play(s *Script, server *harness.Server) (Transcript, error) {
	p := &player{server: server, peers: make(map[string]*peer), asked: make(map[string][]byte), nonces: make(map[string][]byte), keepPings: s.Pings}
	defer p.closeAll()
	for _, step := range s.Steps {
		if err := p.step(step); err != nil {
			return p.out, fmt.Errorf("line %d: %s %s: %w", step.Line, step.Verb, step.Conn, err)
		}
	}
	for _, name := range p.order {
		if rest := p.peers[name].leftover(); len(rest) > 0 && !p.peers[name].wasReset {
			p.add(Entry{Conn: name, Data: rest, Note: "had these bytes left over"})
		}
	}
	return p.out, nil
}

func (p *player) closeAll() {
	for _, peer := range p.peers {
		peer.conn.Close()
	}
}

// ping is what a server sends when its timer says so.
var ping = []byte("PING\r\n")

func (p *player) add(e Entry) {
	if !p.keepPings {
		e.Data = dropLines(e.Data, ping)
	}
	e.Data = Normalise(e.Data)
	p.out = append(p.out, e)
}

func dropLines(b, unwanted []byte) []byte {
	if !bytes.Contains(b, unwanted) {
		return b
	}
	var kept []byte
	for line := range bytes.Lines(b) {
		if !bytes.Equal(line, unwanted) {
			kept = append(kept, line...)
		}
	}
	return kept
}

func (p *player) step(s Step) error {
	switch s.Verb {
	case "open", "dial":
		return p.open(s)
	case "signal":
		p.server.Signal(signals[s.Conn])
		return nil
	case "logs":
		return p.logs(s)
	case "reload":
		return p.reload(s)
	}
	peer, known := p.peers[s.Conn]
	if !known {
		return errors.New("no such connection")
	}
	switch s.Verb {
	case "send":
		return peer.write(s.Bytes)
	case "answer":
		reply := p.asked[s.Conn]
		if reply == nil {
			return errors.New("no request was read")
		}
		return peer.write(bytes.ReplaceAll(s.Bytes, []byte("<reply>"), reply))
	case "sign":
		return p.sign(s, peer)
	case "repeat":
		return repeat(peer, s.Bytes, s.Count)
	case "cut":
		return peer.writePieces(pieces(s.Bytes, s.Cuts))
	case "drip":
		return peer.writePieces(slices.Collect(slices.Chunk(s.Bytes, 1)))
	case "splits":
		return p.splits(s.Conn, peer, s.Bytes)
	case "sync":
		return p.sync(s.Conn, peer)
	case "line":
		return p.lines(s.Conn, peer, s.Count)
	case "sorted":
		return p.sorted(s.Conn, peer, s.Count)
	case "until":
		return p.through(s.Conn, peer, s.Bytes)
	case "eof":
		return p.eof(s, peer)
	case "shut":
		_ = peer.conn.CloseWrite() // fails only when the server closed first
		return nil
	case "reset":
		return peer.reset()
	}
	return errors.New("no such step")
}

func (p *player) open(s Step) error {
	peer, err := dial(p.server.Addr)
	if errors.Is(err, syscall.ECONNREFUSED) {
		p.add(Entry{Conn: s.Conn, Note: "refused"})
		return nil
	}
	if err != nil {
		return err
	}
	p.peers[s.Conn] = peer
	p.order = append(p.order, s.Conn)
	if s.Verb == "dial" {
		return nil
	}
	return p.lines(s.Conn, peer, 1)
}

// repeatChunk is the least size of the writes of repeat.
const repeatChunk = 64 << 10

func repeat(peer *peer, b []byte, count int) error {
	per := max(1, repeatChunk/len(b))
	chunk := bytes.Repeat(b, min(per, count))
	for count > 0 {
		n := min(per, count)
		if err := peer.write(chunk[:n*len(b)]); err != nil {
			return err
		}
		count -= n
	}
	return nil
}

func pieces(b []byte, cuts []int) [][]byte {
	var out [][]byte
	last := 0
	for _, cut := range cuts {
		out = append(out, b[last:cut])
		last = cut
	}
	return append(out, b[last:])
}

func (p *player) splits(name string, peer *peer, b []byte) error {
	for cut := 1; cut < len(b); cut++ {
		if err := peer.writePieces(pieces(b, []int{cut})); err != nil {
			return err
		}
		if err := p.sync(name, peer); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) sync(name string, peer *peer) error {
	if err := peer.write([]byte("PING\r\n")); err != nil {
		return err
	}
	return p.through(name, peer, []byte("PONG\r\n"))
}

func (p *player) lines(name string, peer *peer, count int) error {
	for count > 0 {
		got, ended, err := peer.through([]byte("\n"))
		if !p.keepPings && bytes.Equal(got, ping) {
			continue
		}
		count--
		p.received(name, got, ended)
		if err != nil {
			return err
		}
		if ended {
			return nil
		}
	}
	return nil
}

// sorted takes count deliveries and writes them down in the order of their bytes.
func (p *player) sorted(name string, peer *peer, count int) error {
	var frames [][]byte
	for range count {
		frame, ended, err := peer.take(deliveryLen)
		frames = append(frames, frame)
		if ended || err != nil {
			p.received(name, bytes.Join(frames, nil), ended)
			return err
		}
	}
	slices.SortFunc(frames, bytes.Compare)
	p.received(name, bytes.Join(frames, nil), false)
	return nil
}

// deliveryLen returns the length of the MSG or HMSG at the start of in, −1 while
// it is not complete. Any other line counts as a delivery without payload.
func deliveryLen(in []byte) int {
	line, _, found := bytes.Cut(in, []byte("\r\n"))
	if !found {
		return -1
	}
	end := len(line) + 2
	if fields := bytes.Fields(line); len(fields) > 1 && bytes.HasSuffix(fields[0], []byte("MSG")) {
		size, err := strconv.Atoi(string(fields[len(fields)-1]))
		if err == nil && size >= 0 {
			end += size + 2
		}
	}
	if end > len(in) {
		return -1
	}
	return end
}

// closedNote marks an end of connection, orderly or not.
const closedNote = "closed"

func (p *player) through(name string, peer *peer, stop []byte) error {
	got, ended, err := peer.through(stop)
	p.received(name, got, ended)
	return err
}

// serviceReply finds what replaces the reply subject of a request that goes to a
// service of another account.
var serviceReply = regexp.MustCompile(`MSG \S+ \S+ (_R_\.\S+) [0-9]`)

func (p *player) received(name string, got []byte, ended bool) {
	if all := serviceReply.FindAllSubmatch(got, -1); all != nil {
		p.asked[name] = bytes.Clone(all[len(all)-1][1])
	}
	if m := nonce.FindSubmatch(got); m != nil {
		p.nonces[name] = bytes.Clone(m[1])
	}
	e := Entry{Conn: name, Data: got}
	if ended {
		e.Note = closedNote
	}
	p.add(e)
}

// nonce is what INFO gives to sign.
var nonce = regexp.MustCompile(`"nonce":"([^"]*)"`)

// sign sends bytes with the signature of the last nonce in them.
func (p *player) sign(s Step, peer *peer) error {
	pair, _ := userKeys(s.User)
	sig, err := pair.Sign(p.nonces[s.Conn])
	if err != nil {
		return err
	}
	text := bytes.ReplaceAll(s.Bytes, []byte("<sig>"), []byte(base64.RawURLEncoding.EncodeToString(sig)))
	return peer.write(bytes.ReplaceAll(text, []byte("<padded>"), []byte(base64.StdEncoding.EncodeToString(sig))))
}

// reload gives the server another configuration and waits until it says what it
// made of it.
func (p *player) reload(s Step) error {
	path := p.server.ConfigFile()
	if path == "" {
		return errors.New("the server has no configuration file")
	}
	if err := os.WriteFile(path, s.Bytes, 0o600); err != nil {
		return err
	}
	p.logged = len(p.server.Log.Lines())
	p.server.Signal(syscall.SIGHUP)
	if err := p.logs(Step{Count: 1, Bytes: []byte("Reloaded server configuration|Failed to reload")}); err != nil {
		return err
	}
	// Why is not compared: here it has a place in the file.
	last := &p.out[len(p.out)-1]
	verdict, _, _ := bytes.Cut(last.Data, []byte("configuration"))
	last.Data = append(bytes.Clone(verdict), '\n')
	return nil
}

func (p *player) eof(s Step, peer *peer) error {
	got, err := peer.rest()
	p.add(Entry{Conn: s.Conn, Data: got, Note: closedNote, Maybe: s.Maybe})
	return err
}

// logs waits for s.Count further log lines that match and takes them into the
// transcript. Lines before those of an earlier logs step do not count.
func (p *player) logs(s Step) error {
	re, err := regexp.Compile(string(s.Bytes))
	if err != nil {
		return err
	}
	deadline := time.After(patience)
	for taken := 0; ; {
		grown := p.server.Log.Changed()
		lines := p.server.Log.Lines()
		for p.logged < len(lines) && taken < s.Count {
			if line := lines[p.logged]; re.MatchString(line) {
				p.add(Entry{Conn: "log", Data: []byte(line + "\n")})
				taken++
			}
			p.logged++
		}
		if taken == s.Count {
			return nil
		}
		select {
		case <-grown:
		case <-deadline:
			return fmt.Errorf("%d lines of the log match, want %d: %w", taken, s.Count, errStuck)
		}
	}
}
