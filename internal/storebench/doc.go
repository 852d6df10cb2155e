// Package storebench measures the storage engine against what its disk can do by
// itself, and against the figures it must reach.
//
// # Words
//
// A line is one figure with its target. A bare figure is the disk's own, measured
// without the engine in the same run, beside the line that is compared with it.
// Window is how many messages are appended and not yet durable. Cold means that
// the page cache holds nothing of the files.
//
// # How
//
// Appends and reads run as an application on a shard of a real engine, in this
// process, so CPU time includes what makes the messages. Where a line is a ratio to
// the disk, both are measured in turns of equal work and medians are compared. The
// restart is that of a directory which a child process filled and which was then
// killed: first as the kill left it, then after a clean stop.
package storebench
