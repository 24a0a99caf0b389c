// Package snapshot reads a cluster into memory, from files or from a live API
// server, and prepares it for a scheduler that has no API server behind it: what
// admission, defaulting and controllers would have done is done here.
//
//	files ──split──▶ documents ──decode──▶ objects ──settle──▶ Snapshot ◀── Add
//	API server ──list pages──────────────────▲                          what-if files
//
// It only reads. Of Secrets and ConfigMaps it looks at the kind, and leaves them
// where they are: nothing of them is kept, and no message repeats them. That holds
// for text that cannot be read as well, since it may be a Secret: such messages say
// where, and what kind of trouble it is, and quote nothing.
//
// # What is refused and what is tolerated
//
// Nothing that was read in part is handed out as a whole: a document that cannot be
// read, a field of a wrong type, a value that an API server would refuse and an
// object that is there twice are errors, with file and line. A dump may come from a
// newer cluster, so fields that this build does not know are left out and counted;
// in what-if files they are errors, since there they are typing mistakes. Kinds that
// no scheduler reads are left out and counted. A version of a kind that the scheduler
// reads, but which this build does not know, is an error: the result would silently
// lack all of these objects. Kinds that are alpha or not served by default are the
// exception, they are counted.
//
// An object with a UID and a resource version has been accepted by an API server
// before, and is judged as an update of itself; others are judged as new.
package snapshot
