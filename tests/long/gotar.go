// Prints what Go's archive/tar reads in an archive, in the form that tests/layer/oracle.rs compares: type, size of files, name
// and target. Exit code 1 where it refuses. `go build -o gotar tests/long/gotar.go`, then VENEER_GO_TAR=./gotar.
package main

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	reader := tar.NewReader(file)
	for {
		entry, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			os.Exit(1)
		}
		size, err := io.Copy(io.Discard, reader)
		kind, behind, shown := "?", "", ""
		switch entry.Typeflag {
		case tar.TypeXGlobalHeader, 'V':
			continue
		case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
			kind, shown = "-", fmt.Sprint(size)
		case tar.TypeLink:
			kind, behind = "h", " link to "+entry.Linkname
		case tar.TypeSymlink:
			kind, behind = "l", " -> "+entry.Linkname
		case tar.TypeChar:
			kind = "c"
		case tar.TypeBlock:
			kind = "b"
		case tar.TypeDir, 'D':
			kind = "d"
		case tar.TypeFifo:
			kind = "p"
		}
		fmt.Printf("%s %s %s%s\n", kind, shown, entry.Name, behind)
		if err != nil {
			os.Exit(1)
		}
	}
}
