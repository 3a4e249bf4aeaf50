#compdef ctr
# zsh completion of ctr. What may stand at the cursor `ctr __complete` says: a candidate a line, behind a tab what it is, and a number
# (2: no blank behind it, 4: no names of files).
_ctr() {
    local -a given lines shown more
    local line number tab=$'\t'
    given=("${(@)words[2,CURRENT]}")
    given[-1]=$PREFIX
    lines=("${(@f)$(${words[1]} __complete "${(@)given}" 2>/dev/null)}")
    number=${lines[-1]#:}
    [[ $number == <-> ]] || return 1
    lines[-1]=()
    for line in "${(@)lines}"; do
        [[ -n $line ]] || continue
        line=${line//:/\\:}
        shown+=("${line/$tab/:}")
    done
    # of --option=value the candidates are the value
    [[ $PREFIX == -*=* ]] && compset -P 1 '*='
    (( number & 2 )) && more=(-S '')
    if (( $#shown )) && _describe -t values ctr shown "${(@)more}"; then
        return 0
    fi
    (( number & 4 )) && return 1
    _files
}
if [[ ${funcstack[1]} == _ctr ]]; then
    _ctr "$@"
else
    compdef _ctr ctr
fi
