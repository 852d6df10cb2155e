package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// answerMax bounds what is read from a responder.
const answerMax = 1 << 20

var (
	errTooLong    = fmt.Errorf("answer of more than %d bytes", answerMax)
	errDelegation = errors.New("OCSP response signer missing authorization by CA to act as OCSP signer")
)

// get asks a responder with GET. query tells whether the request is escaped as
// in a query, which the reference does for peers.
func get(ctx context.Context, hc *http.Client, responder string, request []byte, query bool) ([]byte, error) {
	text := base64.StdEncoding.EncodeToString(request)
	if query {
		text = url.QueryEscape(text)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(responder, "/")+"/"+text, nil)
	if err != nil {
		return nil, err
	}
	return do(hc, r)
}

// post asks a responder with POST.
func post(ctx context.Context, hc *http.Client, responder string, request []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(responder, "/"), bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	return do(hc, r)
}

// statusError is an HTTP status that is no answer.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("bad OCSP responder http status: [%d]", int(e))
}

func do(hc *http.Client, r *http.Request) ([]byte, error) {
	resp, err := hc.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err == nil && len(b) > answerMax {
		err = errTooLong
	}
	return b, err
}

// delegated tells whether who signed an answer was allowed to: the issuer
// itself, or somebody with a certificate of the issuer for that purpose (RFC
// 6960, 4.2.2.2). The signatures were checked when the answer was parsed.
func delegated(issuer *x509.Certificate, answer *ocsp.Response) bool {
	signer := answer.Certificate
	if signer == nil || signer.Equal(issuer) {
		return true
	}
	for _, use := range signer.ExtKeyUsage {
		if use == x509.ExtKeyUsageOCSPSigning {
			return true
		}
	}
	return false
}

// statusText is the word for an answer; what is not known is unknown.
func statusText(status int) string {
	switch status {
	case ocsp.Good:
		return "good"
	case ocsp.Revoked:
		return "revoked"
	}
	return "unknown"
}

// inTime says why an answer to staple does not hold at the time.
func inTime(answer *ocsp.Response, now time.Time) error {
	if !answer.NextUpdate.IsZero() && answer.NextUpdate.Before(now) {
		return fmt.Errorf("invalid ocsp NextUpdate, is past time: %s", answer.NextUpdate.Format(time.RFC3339Nano))
	}
	if answer.ThisUpdate.After(now) {
		return fmt.Errorf("invalid ocsp ThisUpdate, is future time: %s", answer.ThisUpdate.Format(time.RFC3339Nano))
	}
	return nil
}

// responders returns the addresses of a certificate that can be asked.
func responders(c *x509.Certificate) []string {
	var all []string
	for _, text := range c.OCSPServer {
		if u, err := url.ParseRequestURI(text); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
			all = append(all, u.String())
		}
	}
	return all
}
