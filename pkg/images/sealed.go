package images

// sealed keeps a value from being printed. A Format method would not do, nor a
// pointer: fmt looks into unexported fields, where it cannot call methods, and,
// for a verb that does not fit, through pointers. It does not look into functions.
type sealed[T any] func() T

func seal[T any](value T) sealed[T] { return func() T { return value } }

// open returns the value; the zero value if there is none.
func (s sealed[T]) open() (value T) {
	if s != nil {
		value = s()
	}
	return value
}
