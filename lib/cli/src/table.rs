//! Tables as docker prints them: columns aligned by blanks, three between them, none ten or less wide; the last is ragged.

/// Rows under a heading.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Blanks between columns, and the least width of a column with them.
const GAP: usize = 3;
const LEAST: usize = 10;

impl Table {
    /// A table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        table.push(headings);
        table
    }

    /// Adds a row.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// All lines, each with its line end.
    pub fn render(&self) -> String {
        align(&self.rows.iter().map(|row| row.join("\t") + "\n").collect::<String>())
    }
}

/// Aligns the cells of `text`, which end in tabs, as Go's tabwriter does for docker: a column is a block of lines that
/// have a cell in it, one below the other; what stands behind the last tab of a line is in no column.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split_terminator('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::new();
    block(&lines, &mut Vec::new(), &mut out);
    out
}

/// Writes lines whose first columns are as wide as `widths`.
fn block(lines: &[Vec<&str>], widths: &mut Vec<usize>, out: &mut String) {
    let column = widths.len();
    let mut rest = lines;
    while let Some(start) = rest.iter().position(|line| column + 1 < line.len()) {
        let (before, from) = rest.split_at(start);
        write(before, widths, out);
        let end = from.iter().position(|line| column + 1 >= line.len()).unwrap_or(from.len());
        let (inside, behind) = from.split_at(end);
        let width = inside.iter().map(|line| line[column].chars().count() + GAP).max().unwrap_or(0);
        widths.push(width.max(LEAST));
        block(inside, widths, out);
        widths.pop();
        rest = behind;
    }
    write(rest, widths, out);
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for line in lines {
        for (i, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(i) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn aligns_as_docker_does() {
        let mut table = Table::new(["REPOSITORY", "TAG", "SIZE"]);
        table.push(["debian", "12", "117MB"]);
        table.push(["localhost/a-long-one", "é", "4kB"]);
        assert_eq!(
            table.render(),
            "REPOSITORY             TAG       SIZE\n\
             debian                 12        117MB\n\
             localhost/a-long-one   é         4kB\n"
        );
    }

    #[test]
    fn a_column_is_a_block_of_lines() {
        assert_eq!(super::align("a\tb\nlong\nlonger-than-ten\tx\n"), "a         b\nlong\nlonger-than-ten   x\n");
        assert_eq!(super::align("\n"), "\n");
        assert_eq!(super::align("a\t\n"), "a         \n");
    }
}
