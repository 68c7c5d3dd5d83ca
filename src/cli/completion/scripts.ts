/**
 * What a shell has to run once to complete a program's command lines. Each asks the program itself, so a script stays right
 * when the program gets new commands; all that differs between the shells is how the question and the answer are written.
 *
 * The answer to `completion query -- WORD…` is a line for each candidate, with a tab before its description, and the line
 * `:files` where names of files may stand too.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];
export const FILES_LINE = ':files';

/** @param name of the program: letters and hyphens */
export function completionScript(shell: Shell, name: string): string {
  const id = name.replaceAll('-', '_');
  return { bash, zsh, fish }[shell](name, id);
}

/** Readline takes a word apart at "=" and ":", so it is put together again, and only what is behind them is replaced. */
function bash(name: string, id: string): string {
  return `# Completion of ${name} for bash: source it, or put it into ~/.local/share/bash-completion/completions/${name}
_${id}_complete() {
  local words=() word glue= line value
  local current=\${COMP_WORDS[COMP_CWORD]}
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ $word == [=:]* || -n $glue ]] && (( \${#words[@]} > 0 )); then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == *[=:] ]] && glue=1 || glue=
  done
  [[ $current == [=:] ]] && current=
  local whole=\${words[\${#words[@]}-1]}
  local prefix=\${whole%"$current"}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ${FILES_LINE} ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$current")
    else
      value=\${line%%$'\\t'*}
      COMPREPLY+=("\${value#"$prefix"}")
    fi
  done < <(${name} completion query -- "\${words[@]}" 2>/dev/null)
}
complete -F _${id}_complete ${name}
`;
}

function zsh(name: string, id: string): string {
  return `#compdef ${name}
# Completion of ${name} for zsh: source it after compinit, or put it as _${name} into a directory of $fpath
_${id}() {
  local line value description
  local -a described
  local -i files=0
  for line in "\${(@f)$(${name} completion query -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == ${FILES_LINE} ]]; then
      files=1
    elif [[ -n $line ]]; then
      value=\${line%%$'\\t'*}
      description=\${line#*$'\\t'}
      described+=("\${value//:/\\\\:}:\${description//\\\\/\\\\\\\\}")
    fi
  done
  (( \${#described} )) && _describe -t values ${name} described
  (( files )) && _files
}
if [[ $funcstack[1] == _${name} ]]; then
  _${id} "$@"
else
  compdef _${id} ${name}
fi
`;
}

function fish(name: string, id: string): string {
  return `# Completion of ${name} for fish: source it, or put it into ~/.config/fish/completions/${name}.fish
function __${id}_complete
    set -l words (string unescape -- (commandline -opc))
    set -l current (string unescape -- (commandline -ct))
    for line in (${name} completion query -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ${FILES_LINE}
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c ${name} -e
complete -c ${name} -f -a '(__${id}_complete)'
`;
}
