# SPDX-License-Identifier: MIT
# Completion of mpctl for bash.
_mpctl() {
  local current=${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=$(mpctl --help 2> /dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
    words="$words --help --version"
  else
    words=$(mpctl "${COMP_WORDS[1]}" --help 2> /dev/null | grep -o -- '--[a-z]*' | sort -u)
    words="$words --help"
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _mpctl mpctl
