package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Permissions are what a user may do. Absent parts allow all.
type Permissions struct {
	Publish   *SubjectPermission
	Subscribe *SubjectPermission
	Responses *ResponsePermission
}

// SubjectPermission is a choice of subjects, in Subscribe perhaps with a queue
// behind a blank.
type SubjectPermission struct {
	Allow []string // nil allows all, empty allows none
	Deny  []string
}

// ResponsePermission allows answers to requests that a user received.
type ResponsePermission struct {
	MaxMsgs int           // answers to a request; negative is no limit
	Expires time.Duration // time for them; negative is no limit
}

var allowedResponses = ResponsePermission{MaxMsgs: 1, Expires: 2 * time.Minute}

// permissions is an option that holds permissions.
func permissions[T any](name string, aliases []string, at func(*T) **Permissions, doc string) entry[T] {
	e := custom(name, kindBlock, func(r *reader, k key, into *T) {
		if p := r.permissions(k.Value); p != nil {
			*at(into) = p
		}
	}, func(t *T) any { return deref(*at(t)) },
		Spec{Aliases: aliases, Unset: "everything is allowed", Range: "see the keys below", Reload: Live, Use: "User.Permissions", Doc: doc})
	return inside(e, &permissionsBlock)
}

func (r *reader) permissions(v *grammar.Value) *Permissions {
	if v.Kind != grammar.Map {
		r.errorf(v, "Expected permissions to be a map/struct, got %v", v)
		return nil
	}
	p := new(Permissions)
	permissionsBlock.read(r, v.Map, "", p)
	if p.Responses != nil {
		// Answers alone: without a list of its own, publish allows nothing else.
		if p.Publish == nil {
			p.Publish = new(SubjectPermission)
		}
		if p.Publish.Allow == nil {
			p.Publish.Allow = []string{}
		}
	}
	return p
}

const permissionRange = "a subject, a list of them, or a map with `allow` and `deny`; an empty map or list allows all"

var permissionsBlock = block[Permissions]{
	unknown: "Unknown field %q parsing permissions",
	entries: []entry[Permissions]{
		inside(custom("publish", kindSubjects, func(r *reader, k key, p *Permissions) {
			p.Publish = r.subjectPermission(k.Value, false)
		}, nil, Spec{Aliases: []string{"pub", "import"}, Unset: "everything is allowed", Range: permissionRange, Reload: Live, Use: "Publish", Doc: "Subjects to publish on. In clusters: subjects whose interest is sent."}), &choiceBlock),
		inside(custom("subscribe", kindSubjects, func(r *reader, k key, p *Permissions) {
			p.Subscribe = r.subjectPermission(k.Value, true)
		}, nil, Spec{Aliases: []string{"sub", "export"}, Unset: "everything is allowed", Range: permissionRange + `; "subject queue" is for a queue group`, Reload: Live, Use: "Subscribe",
			Doc: "Subjects to subscribe to. In clusters: subjects whose interest is accepted."}), &choiceBlock),
		inside(custom("allow_responses", "boolean or block", func(r *reader, k key, p *Permissions) {
			switch {
			case k.Kind != grammar.Bool:
				p.Responses = r.responsePermission(k.Value)
			case k.Bool:
				allowed := allowedResponses
				p.Responses = &allowed
			}
		}, nil, Spec{Aliases: []string{"publish_allow_responses"}, Default: "false", Range: "true, false or see the keys below", Reload: Live, Use: "Responses",
			Doc: "Answers may be published on the reply subjects of messages received; without `publish`, nothing else may."}), &responseBlock),
	},
}

// subjectPermission reads a choice of subjects in either of its forms.
func (r *reader) subjectPermission(v *grammar.Value, queues bool) *SubjectPermission {
	if v.Kind != grammar.Map {
		if subjects, ok := r.subjects(v, queues); ok {
			return &SubjectPermission{Allow: subjects}
		}
		return nil
	}
	if v.Map.Len() == 0 {
		return nil
	}
	c := choice{queues: queues}
	choiceBlock.read(r, v.Map, "", &c)
	return &c.SubjectPermission
}

// choice is a subject permission being read.
type choice struct {
	SubjectPermission
	queues bool
}

var choiceBlock = block[choice]{
	unknown: "Unknown field name %q parsing subject permissions, only 'allow' or 'deny' are permitted",
	entries: []entry[choice]{
		subjectList("allow", func(c *choice) *[]string { return &c.Allow }, "all", "Subjects that are allowed."),
		subjectList("deny", func(c *choice) *[]string { return &c.Deny }, "none", "Subjects of those that are not."),
	},
}

func subjectList(name string, at func(*choice) *[]string, unset, doc string) entry[choice] {
	return custom(name, kindTexts, func(r *reader, k key, c *choice) {
		*at(c), _ = r.subjects(k.Value, c.queues)
	}, nil, Spec{Unset: unset, Range: "subjects, with wildcards or without", Reload: Live, Use: "SubjectPermission." + strings.ToUpper(name[:1]) + name[1:], Doc: doc})
}

// subjects reads a subject or a list of them, nil for an empty list.
func (r *reader) subjects(v *grammar.Value, queues bool) ([]string, bool) {
	var all []string
	switch v.Kind {
	case grammar.String:
		all = []string{v.Str}
	case grammar.List:
		for _, e := range v.List {
			if e.Kind != grammar.String {
				r.errorf(e, "Subject in permissions array cannot be cast to string")
				return nil, false
			}
			all = append(all, e.Str)
		}
	default:
		r.errorf(v, "Expected subject permissions to be a subject, or array of subjects, got %s", v.Kind)
		return nil, false
	}
	if err := checkSubjects(all, queues); err != nil {
		r.errorf(v, "%v", err)
		return nil, false
	}
	return all, true
}

// checkSubjects finds the first of subjects that is none, with queues perhaps
// followed by a queue.
func checkSubjects(subjects []string, queues bool) error {
	for _, s := range subjects {
		if validSubject(s) {
			continue
		}
		parts := strings.Fields(s)
		switch {
		case !queues || len(parts) != 2:
			return fmt.Errorf("subject %q is not a valid subject", s)
		case !validSubject(parts[0]):
			return fmt.Errorf("subject %q is not a valid subject", parts[0])
		case !validSubject(parts[1]):
			return fmt.Errorf("queue %q is not a valid queue", parts[1])
		}
	}
	return nil
}

func (r *reader) responsePermission(v *grammar.Value) *ResponsePermission {
	if v.Kind != grammar.Map {
		r.errorf(v, "error parsing response permissions, expected a boolean or a map")
		return nil
	}
	p := allowedResponses
	before := len(r.Errors)
	responseBlock.read(r, v.Map, "", &p)
	if len(r.Errors) > before {
		return nil
	}
	return &p
}

var responseBlock = block[ResponsePermission]{
	unknown: "Unknown field %q parsing permissions",
	entries: []entry[ResponsePermission]{
		custom("max", kindInt, func(r *reader, k key, p *ResponsePermission) {
			if n, ok := r.integer(k.Value); ok && n != 0 {
				p.MaxMsgs = fit[int](n)
			}
		}, nil, Spec{Aliases: []string{"max_msgs", "max_messages", "max_responses"}, Default: "1", Range: "negative is no limit", Reload: Live, Use: "MaxMsgs",
			Doc: "Answers to a request."}),
		custom("expires", kindDuration, func(r *reader, k key, p *ResponsePermission) {
			if k.Kind != grammar.String {
				r.errorf(k.Value, "error parsing expires, not a duration string")
			} else if d, err := time.ParseDuration(k.Str); err != nil {
				r.errorf(k.Value, "error parsing expires: %v", err)
			} else if d != 0 {
				p.Expires = d
			}
		}, nil, Spec{Aliases: []string{"expiration", "ttl"}, Default: `"2m"`, Range: "negative is no limit", Reload: Live, Use: "Expires",
			Doc: "Time for the answers to a request."}),
	},
}

// highTimeout is the warning for a timeout that probably lacks its quotes.
func highTimeout(v *grammar.Value, d time.Duration) string {
	return fmt.Sprintf("timeout of %v (%f seconds) is high, consider keeping it under 60 seconds. "+
		"possibly caused by unquoted duration; use '1m' instead of 1m, for example", v, d.Seconds())
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }
