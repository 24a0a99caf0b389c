package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// output is a file that is opened before there is anything to write, so that one that
// cannot be written is known at once.
type output struct {
	file *os.File
	// ours: the file was not there before, or is no longer what it was.
	ours bool
}

// openOutput creates the file, or opens it and leaves it as it is until write.
func openOutput(path string) (*output, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil || !errors.Is(err, os.ErrExist) {
		return &output{file, true}, err
	}
	file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	return &output{file: file}, err
}

// write replaces what is in the file; one that is none, such as a terminal, is added to.
func (o *output) write(write func(io.Writer) error) error {
	info, err := o.file.Stat()
	if err == nil && info.Mode().IsRegular() {
		o.ours = true
		err = o.file.Truncate(0)
	}
	if err == nil {
		err = write(o.file)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.file.Name(), err)
	}
	return nil
}

// close closes the file, and removes it if there was an error: nothing half written
// stays, and nothing empty. It returns the error and what else goes wrong.
func (o *output) close(err error) error {
	err = errors.Join(err, o.file.Close())
	if err != nil && o.ours {
		err = errors.Join(err, os.Remove(o.file.Name()))
	}
	return err
}
