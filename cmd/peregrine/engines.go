package main

import (
	"peregrine/loop"
	"peregrine/loop/gnet"
)

// engines are the values of --engine, and "auto", which is the fastest one of
// the platform.
var engines = map[string]func() (loop.Engine, error){
	"gnet": gnet.New,
}

// autoEngine is what "auto" stands for.
var autoEngine = "gnet"

// engineName resolves "auto".
func engineName(name string) string {
	if name == "auto" {
		return autoEngine
	}
	return name
}
