# bash completion of ctr. What may stand at the cursor `ctr __complete` says: a candidate a line, and a number (2: no blank behind
# it, 4: no names of files). For an alias: complete -o default -F _ctr docker
_ctr() {
    local line=${COMP_LINE:0:COMP_POINT} words lines number=0 prefix='' current whole word marks='' cut
    # not COMP_WORDS: they end at : and = too
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    current=${words[${#words[@]} - 1]}
    # the first word alone is evaluated: it may be an alias
    mapfile -t lines < <(eval "${words[0]}"' __completeNoDesc "${words[@]:1}"' 2>/dev/null)
    COMPREPLY=()
    ((${#lines[@]})) || return
    number=${lines[${#lines[@]} - 1]#:}
    unset "lines[${#lines[@]}-1]"
    if [[ $current == -*=* ]]; then
        prefix=${current%%=*}=
        current=${current#*=}
    fi
    for word in "${lines[@]}"; do
        [[ $word == "$current"* ]] && COMPREPLY+=("$prefix$word")
    done
    # readline puts a candidate in the place of what stands behind the last of its own word breaks
    whole=$prefix$current
    [[ $COMP_WORDBREAKS == *=* ]] && marks+='='
    [[ $COMP_WORDBREAKS == *:* ]] && marks+=':'
    if [[ -n $marks ]]; then
        cut=${whole%"${whole##*[$marks]}"}
        COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    fi
    ((number & 2)) && compopt -o nospace 2>/dev/null
    ((number & 4)) && compopt +o default 2>/dev/null
    return 0
}
complete -o default -F _ctr ctr
