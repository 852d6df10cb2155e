//go:build !race

package commitlog

// raced: see raced_test.go.
const raced = false
