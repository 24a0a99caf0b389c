package explain

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table is columns of text, each no wider than its bound: what is longer goes on in
// the next line. An empty line stands before it.
type table struct {
	heads  []string
	widths []int
	// right: the first column is of numbers.
	right bool
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(b *strings.Builder) {
	widths := make([]int, len(t.heads))
	rows := append([][]string{t.heads}, t.rows...)
	for i := range widths {
		for _, row := range rows {
			for _, line := range t.lines(i, row[i]) {
				widths[i] = max(widths[i], utf8.RuneCountInString(line))
			}
		}
	}
	b.WriteByte('\n')
	for _, row := range rows {
		var cells [][]string
		height := 0
		for i := range row {
			cells = append(cells, t.lines(i, row[i]))
			height = max(height, len(cells[i]))
		}
		for n := range height {
			t.line(b, widths, cells, n)
		}
	}
}

// line writes the nth line of a row, without blanks at its end.
func (t *table) line(b *strings.Builder, widths []int, cells [][]string, n int) {
	var line strings.Builder
	for i, cell := range cells {
		word := ""
		if n < len(cell) {
			word = cell[n]
		}
		width := widths[i]
		if i > 0 || !t.right {
			width = -width
		}
		fmt.Fprintf(&line, "%*s  ", width, word)
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// lines breaks a cell; heads stay whole.
func (t *table) lines(column int, cell string) []string {
	if cell == t.heads[column] {
		return []string{cell}
	}
	return wrap(cell, t.widths[column])
}

// paragraph writes a line that belongs to what stands above.
func paragraph(b *strings.Builder, text string) {
	for _, line := range wrap(text, 96) {
		fmt.Fprintf(b, "  %s\n", line)
	}
}

// wrap breaks a text between words into lines of at most so many characters, and
// words that are longer wherever they must.
func wrap(text string, width int) []string {
	var out []string
	line, used := "", 0
	flush := func() {
		if used > 0 {
			out = append(out, line)
		}
		line, used = "", 0
	}
	for _, word := range strings.Fields(text) {
		if used > 0 && used+1+utf8.RuneCountInString(word) > width {
			flush()
		}
		for utf8.RuneCountInString(word) > width {
			runes := []rune(word)
			out = append(out, string(runes[:width]))
			word = string(runes[width:])
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+utf8.RuneCountInString(word)
	}
	flush()
	return out
}
