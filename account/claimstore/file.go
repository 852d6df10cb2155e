package claimstore

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"

	"peregrine/account/operator"
)

// read returns what is in a file, if that can be a token.
func (s *Store) read(name string) (string, error) {
	// A pipe in place of a file must not make the open wait.
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file", name)
	case info.Size() > operator.TokenMax:
		return "", fmt.Errorf("%s has %d bytes, more than a token may have", name, info.Size())
	}
	b, err := io.ReadAll(io.LimitReader(f, operator.TokenMax+1))
	if err != nil {
		return "", err
	}
	if len(b) > operator.TokenMax {
		return "", fmt.Errorf("%s has more bytes than a token may have", name)
	}
	return string(b), nil
}

// temporary files begin and end like no token does.
const (
	temporaryPrefix = ".writing-"
	temporarySuffix = ".tmp"
)

func isTemporary(name string) bool {
	return strings.HasPrefix(name, temporaryPrefix) && strings.HasSuffix(name, temporarySuffix)
}

// write replaces a file as a whole (I2).
func (s *Store) write(name, token string) (err error) {
	temporary := fmt.Sprintf("%s%016x%s", temporaryPrefix, rand.Uint64(), temporarySuffix)
	f, err := s.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.root.Remove(temporary)
		}
	}()
	if _, err = f.WriteString(token); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err = s.root.Rename(temporary, name); err != nil {
		return err
	}
	return s.syncDir()
}

// syncDir makes names durable.
func (s *Store) syncDir() error {
	d, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
