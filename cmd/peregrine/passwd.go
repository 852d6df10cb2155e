package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

const passwdUsage = `
Usage: peregrine passwd [--cost N] [--generate]

Prints the bcrypt hash of a password, for "password" or "token" in a
configuration file. The password is asked for twice without being shown, or is
the first line of standard input if that is no terminal.

    --cost N      work per check, 4 to 31, each step doubles it (default: 11)
    --generate    make a random password and print it first

`

const (
	// passwdCost is that of the tool that comes with nats-server.
	passwdCost = 11
	// passwdMax is what bcrypt looks at, in bytes; more would be ignored.
	passwdMax = 72
	// passwdMin is where a typed password gets a warning, in bytes.
	passwdMin = 22
)

// passwd is the sub-command that makes hashes.
func passwd(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("passwd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	cost := flags.Int("cost", passwdCost, "")
	generate := flags.Bool("generate", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(stdout, passwdUsage)
		return 0
	case err == nil && flags.NArg() > 0:
		err = errors.New("a password is not taken from the command line, where other users could read it")
		fallthrough
	case err != nil:
		fmt.Fprintf(stderr, "%s: passwd: %v\n", programName, err)
		return 2
	}
	if err := printHash(*cost, *generate, os.Stdin, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%s: passwd: %v\n", programName, err)
		return 1
	}
	return 0
}

func printHash(cost int, generate bool, stdin *os.File, stdout, stderr io.Writer) error {
	if cost < bcrypt.MinCost || cost > bcrypt.MaxCost {
		return fmt.Errorf("cost must be between %d and %d, not %d", bcrypt.MinCost, bcrypt.MaxCost, cost)
	}
	password := rand.Text()
	if !generate {
		var err error
		if password, err = askPassword(stdin, stderr); err != nil {
			return err
		}
	}
	switch n := len(password); {
	case n == 0:
		return errors.New("the password is empty")
	case n > passwdMax:
		return fmt.Errorf("the password has %d bytes, bcrypt takes %d", n, passwdMax)
	case n < passwdMin:
		fmt.Fprintf(stderr, "%s: passwd: warning: fewer than %d characters can be guessed\n", programName, passwdMin)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return err
	}
	if generate {
		fmt.Fprintln(stdout, password)
	}
	_, err = fmt.Fprintf(stdout, "%s\n", hash)
	return err
}

// askPassword reads a password from a terminal, twice, or from a file, once.
func askPassword(in *os.File, prompt io.Writer) (string, error) {
	if !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(text string) (string, error) {
		io.WriteString(prompt, text)
		b, err := term.ReadPassword(int(in.Fd()))
		io.WriteString(prompt, "\n")
		return string(b), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err == nil && again != first {
		err = errors.New("the two differ")
	}
	return first, err
}
