# Sourced: runs named stages one after the other, stops at the first that fails, and prints at the
# end, however it comes, what each one took.
# shellcheck shell=bash
stage_table=()

stage() {
    local name="$1" begun=$SECONDS status=0
    shift
    say "== $name"
    "$@" || status=$?
    stage_table+=("$(printf '%-8s %6d  %s' "$name" "$((SECONDS - begun))" "$([ "$status" = 0 ] && echo ok || echo FAILED)")")
    [ "$status" = 0 ] || exit "$status"
}

print_stages() {
    say ""
    say "seconds per stage"
    printf '%s\n' "${stage_table[@]}"
    printf '%-8s %6d\n' total "$SECONDS"
}
trap print_stages EXIT
