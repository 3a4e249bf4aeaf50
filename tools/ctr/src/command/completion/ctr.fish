# fish completion of ctr. What may stand at the cursor `ctr __complete` says: a candidate a line, behind a tab what it is, and a number
# (4: no names of files).
function __ctr_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    test (count $lines) -gt 0; or return
    set -l number (string replace ':' '' -- $lines[-1])
    # of --option=value the candidates are the value
    set -l prefix (string match -r -- '^-[^=]*=' "$current")
    set -e lines[-1]
    set -l shown 0
    for line in $lines
        set shown 1
        printf '%s%s\n' "$prefix" $line
    end
    if test $shown -eq 0; and test (math "floor($number / 4) % 2") -eq 0
        __fish_complete_path "$current"
    end
end
complete -c ctr -e
complete -c ctr -k -f -a '(__ctr_complete)'
