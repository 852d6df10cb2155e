package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"peregrine/account/operator"
)

// newResolver makes the resolver of an operator mode.
func newResolver(c *claims, o ResolverOptions) (resolver, error) {
	switch o.Kind {
	case URLResolver:
		return newURLResolver(c.srv, o), nil
	case FullResolver, CacheResolver:
		return newFolderResolver(c, o)
	}
	return &memoryResolver{}, nil
}

// memoryResolver knows what was preloaded.
type memoryResolver struct{ tokens sync.Map }

func (m *memoryResolver) fetch(name string) (string, error) {
	if token, ok := m.tokens.Load(name); ok {
		return token.(string), nil
	}
	return "", operator.ErrMissing
}

// replace makes tokens all that is known.
func (m *memoryResolver) replace(tokens map[string]string) {
	m.tokens.Clear()
	for name, token := range tokens {
		m.tokens.Store(name, token)
	}
}

func (m *memoryResolver) store(name, token string) error { m.tokens.Store(name, token); return nil }
func (m *memoryResolver) start() error                   { return nil }
func (m *memoryResolver) reload()                        {}
func (m *memoryResolver) close()                         {}

// urlResolver asks a web server.
type urlResolver struct {
	srv    *Server
	url    string
	client *http.Client
}

func newURLResolver(s *Server, o ResolverOptions) *urlResolver {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = fetchTimeout
	}
	return &urlResolver{srv: s, url: o.URL, client: &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{MaxIdleConns: 10, IdleConnTimeout: 30 * time.Second, TLSClientConfig: o.TLS},
	}}
}

func (u *urlResolver) fetch(name string) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the server's end ends the request
		select {
		case <-u.srv.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	where := u.url + name
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return "", fmt.Errorf("could not fetch <%q>: %w", redactURL(where), withoutURL(err))
	}
	// The client takes the password out of the URL in its errors.
	resp, err := u.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("could not fetch <%q>: %w", redactURL(where), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("could not fetch <%q>: %v", redactURL(where), resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, operator.TokenMax+1))
	if err != nil {
		return "", fmt.Errorf("could not fetch <%q>: %w", redactURL(where), err)
	}
	if len(body) > operator.TokenMax {
		return "", fmt.Errorf("could not fetch <%q>: the answer is longer than a token may be", redactURL(where))
	}
	return string(body), nil
}

// withoutURL takes the URL, which may have a password, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// redactURL hides the password of a URL.
func redactURL(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "[REDACTED]"
	}
	return u.Redacted()
}

func (u *urlResolver) store(string, string) error {
	return errors.New("store operation not supported for URL Resolver")
}

func (u *urlResolver) start() error { return nil }
func (u *urlResolver) reload()      {}
func (u *urlResolver) close()       { u.client.CloseIdleConnections() }
