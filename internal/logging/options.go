package logging

import "io"

// Options say where lines go and how they look. The sink is the first that is set
// of File, RemoteSyslog and Syslog, else standard error.
type Options struct {
	File         string // path to append to
	RemoteSyslog string // URL: udp://host:port, tcp://host:port or unix:///path
	Syslog       bool   // the machine's own syslog
	SyslogTag    string // program name in syslog; "" is the base name of this program

	// SizeLimit is the size in bytes beyond which File is put aside and begun anew,
	// 0 is none. FilesMax is how many files are kept then, the one in use included;
	// 0 is all.
	SizeLimit int64
	FilesMax  int64

	NoTime bool // leave the time out
	UTC    bool // time in UTC instead of the local zone
	JSON   bool // lines are JSON objects
	Debug  bool // write debug lines
	Trace  bool // write trace lines
	// PayloadMax is how many bytes of a payload a trace line shows, 0 is all. A
	// payload is an argument of Tracef that is a []byte and formatted with %q.
	PayloadMax int

	QueueBytes int // bound of the queue, 0 = 8 MiB; fixed by Open

	// Exit ends the process for Fatalf; nil means os.Exit. Fixed by Open.
	Exit func(code int)
}

// destination is an open sink with the form of its lines.
type destination struct {
	sink   io.Writer
	layout *layout
	file   *logFile // sink, if that is a file
	owned  bool     // the sink is closed when it is no longer used
}
