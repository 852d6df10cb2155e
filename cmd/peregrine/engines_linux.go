package main

import "peregrine/loop/epoll"

func init() {
	engines["epoll"] = epoll.New
	autoEngine = "epoll"
}
