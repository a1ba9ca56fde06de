# SPDX-License-Identifier: MIT
# Completion of mpctl for bash: commands, their options, and the names of objects.

# The words up to the one at hand, as the shell takes them, into `words`: bash parts them also at what stands
# in COMP_WORDBREAKS, such as the : in "shop:bolts" and the = in "--socket=PATH". It will replace what is
# behind the last of these only; what is before that in the last word goes into `before`.
_mpctl_join_words() {
  local i word gap rest=${COMP_LINE-}
  words=("${COMP_WORDS[@]:0:COMP_CWORD+1}")
  before=
  [ -n "$rest" ] || return
  words=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    gap=${rest%%[![:space:]]*}
    rest=${rest#"$gap"}
    rest=${rest#"$word"}
    if [ "$i" -eq 0 ] || [ -n "$gap" ]; then
      before=
      words+=("$word")
    else
      before=${words[-1]}
      words[-1]+=$word
    fi
  done
  case $word in
  [:=]*) before=${words[-1]} ;;
  esac
}

# The words of the command that stand on the line: one, or two as in "queue put".
_mpctl_command() {
  case ${COMP_WORDS[1]} in
  queue) echo "${COMP_WORDS[1]} ${COMP_WORDS[2]}" ;;
  help) echo help ;;
  *) echo "${COMP_WORDS[1]}" ;;
  esac
}

# _mpctl_names [CLASS]: of the objects, asked of the daemon that the line names.
_mpctl_names() {
  local i options=(--timeout 1)
  [ $# -eq 0 ] || options+=(--type "$1")
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
    --socket) options+=(--socket "${COMP_WORDS[i + 1]}") ;;
    --socket=*) options+=("${COMP_WORDS[i]}") ;;
    esac
  done
  mpctl ls "${options[@]}" 2> /dev/null
}

# Is the word at hand the first argument behind command and options?
_mpctl_at_name() {
  local i word first=2
  [ "${COMP_WORDS[1]}" != queue ] || first=3
  for ((i = first; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
    --socket | --timeout | --type | --count | --for | --interval | --order | --maxsize | --priority) i=$((i + 1)) ;;
    --*) ;;
    *) return 1 ;;
    esac
  done
}

# Offer those lines of the input that begin like the word at hand. (compgen -W would carry out what stands
# in them, and names of objects are made by anybody.)
_mpctl_offer() {
  local word
  while IFS= read -r word; do
    [ -n "$word" ] || continue
    [[ $word != "${COMP_WORDS[COMP_CWORD]}"* ]] || COMPREPLY+=("$(printf %q "$word")")
  done
}

_mpctl_words() {
  _mpctl_offer < <(printf '%s\n' "$@")
}

# The first argument of a command: an object, as a rule.
_mpctl_offer_name() {
  case $1 in
  lock | unlock) _mpctl_offer < <(_mpctl_names lock) ;;
  queue\ *) _mpctl_offer < <(_mpctl_names queue) ;;
  append) _mpctl_offer < <(_mpctl_names list) ;;
  add | call | del | get | ls | set | watch) _mpctl_offer < <(_mpctl_names) ;;
  esac
}

# What to offer for the last of COMP_WORDS, which stands behind the word $1.
_mpctl_complete() {
  local current=${COMP_WORDS[COMP_CWORD]} command
  case $1 in
  --socket)
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
    ;;
  --order)
    _mpctl_words fifo lifo priority
    return
    ;;
  --type)
    _mpctl_words array barrier bounded_semaphore condition counter dict event list lock namespace queue rlock \
      semaphore value
    return
    ;;
  esac
  command=$(_mpctl_command)
  if [ "$COMP_CWORD" -eq 1 ] || { [ "$command" = help ] && [ "$COMP_CWORD" -eq 2 ]; }; then
    _mpctl_offer < <(mpctl --help 2> /dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p' | uniq)
    [ "$COMP_CWORD" -ne 1 ] || _mpctl_words help --help --version
  elif [ "${COMP_WORDS[1]}" = queue ] && [ "$COMP_CWORD" -eq 2 ]; then
    _mpctl_words get put
  elif [[ $current == -* ]]; then
    # shellcheck disable=SC2086 # two words are two
    _mpctl_offer < <(mpctl $command --help 2> /dev/null | sed -n 's/^  \(--[a-z]*\).*/\1/p')
    _mpctl_words --help
  elif _mpctl_at_name; then
    _mpctl_offer_name "$command"
  elif [ "$command" = lock ]; then
    mapfile -t COMPREPLY < <(compgen -c -- "$current"; compgen -f -- "$current")
  fi
}

_mpctl() {
  local words before previous
  COMPREPLY=()
  _mpctl_join_words
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  previous=${COMP_WORDS[COMP_CWORD - 1]}
  case ${COMP_WORDS[COMP_CWORD]} in
  --*=*)
    previous=${words[-1]%%=*}
    before=
    COMP_WORDS[COMP_CWORD]=${words[-1]#*=}
    ;;
  esac
  _mpctl_complete "$previous"
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -F _mpctl mpctl
