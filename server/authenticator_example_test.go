package server_test

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"peregrine/account"
	"peregrine/loop/gnet"
	"peregrine/server"
)

// ticketOffice lets in who has a ticket, into the account that the ticket is for.
// What takes long, such as asking a database, would be done by a goroutine that
// calls done: the event loop must not wait.
type ticketOffice map[string]string

func (o ticketOffice) Authenticate(c *account.Client, done func(*account.Identity, error)) {
	name, ok := o[c.Token]
	if !ok {
		done(nil, account.Denied("no such ticket"))
		return
	}
	id := account.NewIdentity(name)
	id.User = "guest of " + name // what monitors show, instead of the ticket
	id.Permissions = &account.Permissions{Publish: &account.SubjectPermission{Allow: []string{"hello.>"}}}
	done(id, nil)
}

// A program that embeds the server decides itself who its clients are.
func ExampleAuthenticator() {
	accounts, err := account.NewDirectory(account.Contents{Accounts: []*account.Definition{account.NewDefinition("HALL")}})
	if err != nil {
		panic(err)
	}
	o := server.DefaultOptions()
	o.Host, o.Port, o.Loops, o.NewEngine = "127.0.0.1", -1, 1, gnet.New
	o.Directory, o.Authenticator = accounts, ticketOffice{"T-17": "HALL"}
	s, err := server.New(o, noLog{})
	if err != nil {
		panic(err)
	}
	if err := s.Start(); err != nil {
		panic(err)
	}
	defer s.Shutdown()

	for _, ticket := range []string{"T-17", "T-18"} {
		err := say(s.Addr(), ticket, func(answer string) { fmt.Println(ticket, answer) })
		if err != nil {
			panic(err)
		}
	}
	// Output:
	// T-17 -ERR 'Permissions Violation for Publish to "other"'
	// T-17 PONG
	// T-18 -ERR 'Authorization Violation'
}

// say connects with a ticket and publishes; heard gets each answer.
func say(addr net.Addr, ticket string, heard func(string)) error {
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		return err
	}
	defer nc.Close()
	fmt.Fprintf(nc, "CONNECT {\"verbose\":false,\"auth_token\":%q}\r\nPUB hello.a 0\r\n\r\nPUB other 0\r\n\r\nPING\r\n", ticket)
	var all strings.Builder
	for b := make([]byte, 4096); !strings.Contains(all.String(), "PONG") && err == nil; {
		var n int
		n, err = nc.Read(b)
		all.Write(b[:n])
	}
	if all.Len() == 0 {
		return errors.New("no answer")
	}
	for line := range strings.SplitSeq(strings.TrimSpace(all.String()), "\r\n") {
		if !strings.HasPrefix(line, "INFO") {
			heard(line)
		}
	}
	return nil
}

// noLog forgets what it is told.
type noLog struct{}

func (noLog) Noticef(string, ...any) {}
func (noLog) Warnf(string, ...any)   {}
func (noLog) Errorf(string, ...any)  {}
func (noLog) Fatalf(string, ...any)  {}
func (noLog) Debugf(string, ...any)  {}
func (noLog) Tracef(string, ...any)  {}
