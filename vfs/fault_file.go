package vfs

// faultyFile is an open file of a Faulty.
type faultyFile struct {
	File
	fs *Faulty
}

func (f *faultyFile) do(op Op, off, n int64, run func(Fault) error) error {
	return f.fs.do(Call{Op: op, Name: f.Name(), Off: off, Len: n}, run, func() {
		if m, ok := f.File.(*memFile); ok {
			m.loseFile()
		}
	})
}

// part is what a fault lets through of a transfer, in whole blocks on files
// opened with Direct, which alone could not be checked otherwise.
func (f *faultyFile) part(p []byte, fault Fault) []byte {
	if fault.Err == nil {
		return p
	}
	short := min(fault.Short, int64(len(p)))
	if f.Direct() {
		short = AlignDown(short)
	}
	return p[:short]
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	outer := f.do(OpRead, off, int64(len(p)), func(fault Fault) error {
		n, err = f.File.ReadAt(f.part(p, fault), off)
		return err
	})
	return n, outer
}

func (f *faultyFile) WriteAt(p []byte, off int64) (n int, err error) {
	n = len(p)
	outer := f.do(OpWrite, off, int64(len(p)), func(fault Fault) error {
		n, err = f.File.WriteAt(f.part(p, fault), off+fault.Shift)
		return err
	})
	if outer != nil && n == len(p) {
		n = 0 // not executed
	}
	return n, outer
}

func (f *faultyFile) WriteSync(p []byte, off int64) error {
	return f.do(OpWriteSync, off, int64(len(p)), func(fault Fault) error {
		if fault.Err != nil || fault.Skip || fault.Crash {
			_, err := f.File.WriteAt(f.part(p, fault), off+fault.Shift)
			return err
		}
		return f.File.WriteSync(p, off+fault.Shift)
	})
}

func (f *faultyFile) SyncData() error {
	return f.do(OpSyncData, 0, 0, func(Fault) error { return f.File.SyncData() })
}

func (f *faultyFile) Sync() error {
	return f.do(OpSync, 0, 0, func(Fault) error { return f.File.Sync() })
}

func (f *faultyFile) Allocate(off, n int64) error {
	return f.do(OpAllocate, off, n, func(Fault) error { return f.File.Allocate(off, n) })
}

func (f *faultyFile) Truncate(size int64) error {
	return f.do(OpTruncate, 0, size, func(Fault) error { return f.File.Truncate(size) })
}

func (f *faultyFile) Size() (size int64, err error) {
	err = f.do(OpSize, 0, 0, func(Fault) error {
		size, err = f.File.Size()
		return err
	})
	return size, err
}

func (f *faultyFile) Map(size int64) (mapping Mapping, err error) {
	err = f.do(OpMap, 0, size, func(Fault) error {
		mapping, err = f.File.Map(size)
		return err
	})
	if err != nil || mapping == nil {
		return nil, orEIO(err)
	}
	return mapping, nil
}

func (f *faultyFile) Close() error {
	return f.do(OpClose, 0, 0, func(Fault) error { return f.File.Close() })
}
