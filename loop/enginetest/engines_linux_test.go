package enginetest

import "peregrine/loop/epoll"

func init() { engines["epoll"] = epoll.New }
