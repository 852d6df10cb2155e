package main

import (
	"peregrine/loop"
	"peregrine/loop/gnet"
)

// engines are the values of --engine. server.New names the ones there are when
// another is asked for.
var engines = map[string]func() (loop.Engine, error){
	"gnet": gnet.New,
}
