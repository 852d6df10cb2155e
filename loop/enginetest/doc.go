// Package enginetest holds the tests that every engine must pass: engines alone,
// and loops on real sockets. It has no code of its own.
package enginetest
