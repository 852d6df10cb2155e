package operator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
)

func fillerFor(name string, tags, accountTags []string) filler {
	c := jwt.NewUserClaims("UABC")
	c.Name, c.Tags, c.IssuerAccount = name, tags, "AXYZ"
	a := jwt.NewAccountClaims("AXYZ")
	a.Name, a.Tags = "acme", accountTags
	return filler{c, &Account{Name: "AXYZ", Claims: a}}
}

func TestTemplates(t *testing.T) {
	f := fillerFor("bob", []string{"dep:a", "dep:b", "one:1", "dot:x.y", "bad:p q", "none:", "wild:*", "trick:{{name()}}"}, []string{"city:rome"})
	check := func(entries string, strict bool, want string) {
		t.Helper()
		got, err := f.list(strings.Split(entries, " , "), strict)
		out := strings.Join(got, " , ")
		if err != nil {
			out = "error: " + err.Error()
		}
		if out != want {
			t.Errorf("%s: got %q, want %q", entries, out, want)
		}
	}
	check("plain.> , a b", true, "plain.> , a b")
	check("u.{{name()}}", false, "u.bob")
	check("u.{{ NAME() }}.x", false, "u.bob.x")
	check("u.{{subject()}} , v.{{account-subject()}} , w.{{Account-Name()}}", false, "u.UABC , v.AXYZ , w.acme")
	check("d.{{tag(dep)}}", false, "d.a , d.b")
	check("d.{{tag(DEP)}}.{{tag(one)}}", false, "d.a.1 , d.b.1")
	check("d.{{tag(dep)}}.{{name()}}.{{tag(dep)}}", false, "d.a.bob.a , d.b.bob.b")
	check("d.{{tag(dep)}}.{{tag( one)}}", false, "")
	check("d.{{account-tag(city)}}", false, "d.rome")
	check("d.{{tag(city)}} , e.{{name()}}", false, "e.bob")
	check("d.{{TAG(dep)}} , e.{{name()}}", false, "e.bob")
	check("d.{{tag(dot)}}", false, "d.x.y")
	check("d.{{tag(wild)}}", false, "d.*")
	// What a value brings is not a queue, an empty token or a template.
	check("d.{{tag(bad)}} , d.{{name()}}", false, "d.bob")
	check("d.{{tag(none)}} , d.{{name()}}", false, "d.bob")
	check("d.{{tag(trick)}}", false, "d.{{name()}}")
	check("d q , d.{{name()}}", false, "d.bob")
	check("d q , d.{{name()}}", true, "error: generated invalid subject")
	check("d.{{tag(none)}}", true, "error: generated invalid subject")
	check("d.{{tag(city)}}", true, "error: generated invalid subject")
	check("d.{{nothing()}}", false, "error: template operation is not defined")
	check("d.{{tag(city)}}.{{nothing()}}", false, "error: template operation is not defined")
	check("d.{{tag(dep}}", false, "error: template operation is not defined")
	check("d.{{}} , d.{name()}", false, "d.{{}} , d.{name()}")

	f = fillerFor("x\r\nPUB y 0", nil, nil)
	check("d.{{name()}}", true, "error: generated invalid subject")
	f = fillerFor("{{subject()}}", nil, nil)
	check("d.{{name()}}.{{subject()}}", false, "d.{{subject()}}.UABC")
	f = fillerFor("", nil, nil)
	check("d.{{name()}}", false, "")
}

func TestTemplatesAreBounded(t *testing.T) {
	var tags []string
	for i := range 64 {
		tags = append(tags, fmt.Sprintf("t:%d", i), fmt.Sprintf("s:%d", i))
	}
	f := fillerFor("bob", tags, nil)
	if got, err := f.list([]string{"a.{{tag(t)}}.{{tag(s)}}"}, false); err != nil || len(got) != 4096 {
		t.Errorf("64 × 64: %d, %v", len(got), err)
	}
	for _, list := range [][]string{
		{"a.{{tag(t)}}.{{tag(s)}}", "b.{{tag(t)}}"},
		{"a.{{tag(t)}}.{{tag(s)}}.{{ tag(t) }}"},
		{strings.Repeat("{{tag(t)}}.{{tag(s)}}.{{ tag(t)}}.{{ tag(s)}}.", 1000) + "x"},
	} {
		if got, err := f.list(list, false); err == nil {
			t.Errorf("%.40q became %d subjects", list, len(got))
		}
	}
}

func TestNothingOfAnAllowListDeniesAll(t *testing.T) {
	f := fillerFor("bob", nil, nil)
	var l jwt.UserPermissionLimits
	l.Sub.Allow = jwt.StringList{"a.{{tag(x)}}"}
	l.Sub.Deny = jwt.StringList{"z"}
	l.Pub.Deny = jwt.StringList{"y.{{name()}}"}
	got, err := f.fill(l)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Sub.Allow, got.Sub.Deny, got.Pub.Allow, got.Pub.Deny) != "[] [z >] [] [y.bob]" {
		t.Errorf("sub %v, pub %v", got.Sub, got.Pub)
	}
	if len(l.Sub.Deny) != 1 {
		t.Error("the template has changed")
	}
	p := permissions(&got.Permissions)
	if p.Publish == nil || p.Publish.Allow != nil || p.Subscribe.Allow != nil {
		t.Errorf("permissions %+v %+v", p.Publish, p.Subscribe)
	}
}
