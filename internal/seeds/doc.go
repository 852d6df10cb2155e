// Package seeds is what random tests share: a flag -seed that repeats one of them,
// and bytes from a source of numbers. Only tests import it.
package seeds
