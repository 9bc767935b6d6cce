#!/bin/sh
# The least that speaks the protocol, where there is no C compiler: its own start-up is its work.
printf 'VERSION: 1.0\n\nOK\n'
items=0
while read -r line; do
    case "$line" in
    CLOSE) break ;;
    END) echo OK ;;
    *)
        [ "${line:-0}" -gt 0 ] 2>/dev/null && sleep "$((line / 1000)).$(printf %03d $((line % 1000)))"
        items=$((items + 1))
        echo "HEART: $items 1"
        ;;
    esac
done
printf 'HEART: %d 0\n\nBYE 0\n' "$items"
