module peregrine/benchmarks

go 1.26.0

replace peregrine => ../

require peregrine v0.0.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
