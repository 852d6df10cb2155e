package config

import (
	"fmt"
	"os"

	"peregrine/config/grammar"
)

// Env is what a configuration reads besides its file. Zero fields are the
// machine's.
type Env struct {
	ReadFile  func(path string) ([]byte, error)
	LookupEnv func(name string) (string, bool)
	Limits    grammar.Limits
}

func (e *Env) complete() {
	if e.ReadFile == nil {
		e.ReadFile = os.ReadFile
	}
	if e.LookupEnv == nil {
		e.LookupEnv = os.LookupEnv
	}
}

// Load reads the file at path, as far as the -t flag checks it. The options
// are not complete yet: flags, Complete and Check come next.
//
// Warnings alone are no error. Errors are those of reading the file,
// *grammar.Error where it is not in the language, or *Problems, which has the
// warnings too.
func Load(path string, env Env) (*Options, []Problem, error) {
	env.complete()
	tree, err := grammar.ParseFile(path, grammar.Options{ReadFile: env.ReadFile, LookupEnv: env.LookupEnv, Limits: env.Limits})
	if err != nil {
		return nil, nil, err
	}
	return fromTree(tree, path, env)
}

// Parse is Load for the text of a file that would be at path.
func Parse(src, path string, env Env) (*Options, []Problem, error) {
	env.complete()
	tree, err := grammar.Parse(src, path, grammar.Options{ReadFile: env.ReadFile, LookupEnv: env.LookupEnv, Limits: env.Limits})
	if err != nil {
		return nil, nil, err
	}
	return fromTree(tree, path, env)
}

// New returns options that nothing set.
func New() *Options { return &Options{where: make(map[string]grammar.Pos)} }

func fromTree(tree *grammar.Table, path string, env Env) (*Options, []Problem, error) {
	o := New()
	o.File, o.Digest = path, grammar.Digest(tree)
	r := &reader{env: env, opts: o, where: o.where}
	if tree.Len() == 0 {
		r.Warnings = append(r.Warnings, Problem{Text: fmt.Sprintf("%s: config has no values or is empty", path)})
	}
	for _, key := range []string{"system_account", "system"} {
		if v := tree.Get(key); v != nil && v.Kind != grammar.String {
			r.errorf(v, "system account name must be a string")
			return nil, nil, &r.Problems
		}
	}
	topBlock.read(r, tree, ".", o)
	for _, f := range r.later {
		f()
	}
	if len(r.Errors) > 0 {
		return nil, nil, &r.Problems
	}
	return o, r.Warnings, nil
}
