package operator

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"peregrine/sublist"
)

// expansionsMax bounds the subjects that a list of templates with tags becomes.
const expansionsMax = 4096

var (
	errExpansions  = fmt.Errorf("template expansion exceeds limit: %d", expansionsMax)
	errBadSubject  = errors.New("generated invalid subject")
	placeholder    = regexp.MustCompile(`{{2}([^}]+)}{2}`)
	errNoSuchValue = errors.New("template operation is not defined")
)

// filler is what templates are filled in with: the user's words and those of its
// account.
type filler struct {
	user    *jwt.UserClaims
	account *Account
}

// fill makes permissions of a scope's template. What cannot be allowed is left
// out; what cannot be denied, or is no function, is an error. Somebody who was
// to be allowed something but gets nothing of it is denied everything.
func (f filler) fill(t jwt.UserPermissionLimits) (jwt.UserPermissionLimits, error) {
	for _, p := range []*jwt.Permission{&t.Sub, &t.Pub} {
		asked := len(p.Allow) > 0
		allow, err := f.list(p.Allow, false)
		if err != nil {
			return jwt.UserPermissionLimits{}, err
		}
		deny, err := f.list(p.Deny, true)
		if err != nil {
			return jwt.UserPermissionLimits{}, err
		}
		if asked && len(allow) == 0 && !slices.Contains(deny, ">") {
			deny = append(slices.Clip(deny), ">")
		}
		p.Allow, p.Deny = allow, deny
	}
	return t, nil
}

// list fills the templates of one list. A list without any stays as it is; in
// one that has some, every entry must be a subject afterwards. strict makes one
// that is not an error.
func (f filler) list(entries []string, strict bool) ([]string, error) {
	if !slices.ContainsFunc(entries, placeholder.MatchString) {
		return entries, nil
	}
	out := make([]string, 0, len(entries))
	for _, entry := range entries {
		filled, err := f.entry(entry, strict, expansionsMax-len(out))
		if err != nil {
			return nil, err
		}
		for _, subject := range filled {
			switch {
			case sublist.IsValidSubject(subject):
				out = append(out, subject)
			case strict:
				return nil, errBadSubject
			}
		}
	}
	return out, nil
}

// entry fills one template with every combination of the values that its
// placeholders have. A placeholder that is there twice has the same value in
// both places. Only tags have several; then the results are at most max.
func (f filler) entry(entry string, strict bool, max int) ([]string, error) {
	places := placeholder.FindAllStringIndex(entry, -1)
	var texts []string // the placeholders, each once
	var values [][]string
	which := make([]int, len(places)) // index into texts
	total, tagged, missing := 1, false, false
	for i, at := range places {
		text := entry[at[0]:at[1]]
		if which[i] = slices.Index(texts, text); which[i] >= 0 {
			continue
		}
		v, tag, err := f.values(strings.TrimSpace(text[2 : len(text)-2]))
		if err != nil {
			return nil, err
		}
		tagged, missing = tagged || tag, missing || len(v) == 0
		if tagged && !missing && total > max/len(v) {
			return nil, errExpansions
		}
		total *= len(v)
		which[i] = len(texts)
		texts, values = append(texts, text), append(values, v)
	}
	switch {
	case missing && strict:
		return nil, errBadSubject
	case missing:
		return nil, nil
	case tagged && total > max:
		return nil, errExpansions
	}
	out := make([]string, 0, total)
	for n := range total {
		out = append(out, assemble(entry, places, which, values, n))
	}
	return out, nil
}

// assemble puts combination n of the values into the places of entry.
func assemble(entry string, places [][]int, which []int, values [][]string, n int) string {
	choice := make([]string, len(values))
	for i := len(values) - 1; i >= 0; i-- {
		choice[i] = values[i][n%len(values[i])]
		n /= len(values[i])
	}
	var b strings.Builder
	end := 0
	for i, at := range places {
		b.WriteString(entry[end:at[0]])
		b.WriteString(choice[which[i]])
		end = at[1]
	}
	b.WriteString(entry[end:])
	return b.String()
}

// values returns what a function of a template stands for.
func (f filler) values(call string) (values []string, tag bool, err error) {
	switch {
	case strings.EqualFold(call, "name()"):
		return []string{f.user.Name}, false, nil
	case strings.EqualFold(call, "subject()"):
		return []string{f.user.Subject}, false, nil
	case strings.EqualFold(call, "account-name()"):
		return []string{f.account.Claims.Name}, false, nil
	case strings.EqualFold(call, "account-subject()"):
		return []string{f.user.IssuerAccount}, false, nil
	}
	if name, ok := argument(call, "account-tag("); ok {
		return tagged(f.account.Claims.Tags, name), true, nil
	}
	if name, ok := argument(call, "tag("); ok {
		return tagged(f.user.Tags, name), true, nil
	}
	return nil, false, errNoSuchValue
}

// argument returns what stands between open and the closing parenthesis. Written
// in capitals the function is known, but has the argument that no tag is named:
// as in the reference, so that nobody is allowed more here.
func argument(call, open string) (string, bool) {
	if len(call) < len(open) || !strings.EqualFold(call[:len(open)], open) || !strings.HasSuffix(call, ")") {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimPrefix(call, open), ")"), true
}

// tagged returns the values of the tags "name:value".
func tagged(tags []string, name string) (values []string) {
	prefix := strings.ToLower(name) + ":"
	for _, tag := range tags {
		if v, ok := strings.CutPrefix(tag, prefix); ok {
			values = append(values, v)
		}
	}
	return values
}
