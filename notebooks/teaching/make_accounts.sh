#!/usr/bin/env bash
# Make an account for each name in a file, one name a line, and print the passwords to hand out:
#
#     sudo notebooks/teaching/make_accounts.sh class.txt >> passwords.txt
#
# Each home has the notebooks and exercises, and nobody else can look into it. What has the solutions in this project is
# closed to everybody but its owner: the students' gptcore is a link into the project.
# Names that have an account already keep it, with their password and their work.
set -euo pipefail

if [[ $# -ne 1 || ! -r $1 ]]; then
    echo "usage: sudo $0 class.txt (a file with one name a line)" >&2
    exit 2
fi
export LC_ALL=C # what is a small letter does not depend on the country
names=()
bad=()
while read -r name || [[ -n $name ]]; do # the last line may have no end
    name=${name#$'\xef\xbb\xbf'}        # a mark that Windows puts in front,
    name=${name%$'\r'}                  # and its ends of lines
    [[ -z $name ]] && continue
    names+=("$name")
    [[ $name =~ ^[a-z_][a-z0-9_.-]{0,31}$ ]] || bad+=("$name") # JupyterHub would look for "Ana" as "ana"
done <"$1"
if ((${#bad[@]})); then
    echo "no account was made, for these are no names for one (small letters a to z, digits, - _ and .):" >&2
    printf '    %s\n' "${bad[@]}" >&2
    exit 2
fi
project=$(cd "$(dirname "$0")/../.." && pwd)
for closed in notebooks/solutions tests .git; do
    [[ ! -e $project/$closed ]] || chmod go= "$project/$closed"
done
[[ ! -f /dev/stdout ]] || chmod go= /dev/stdout # the passwords

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/gpt/notebooks"
cp -r "$project"/notebooks/*.ipynb "$project"/notebooks/{glossary.md,exercises} "$home/gpt/notebooks/"
ln -s "$project/gptcore" "$home/gpt/gptcore" # the notebooks link to its source

getent group students >/dev/null || groupadd students
for name in "${names[@]}"; do
    if id "$name" >/dev/null 2>&1; then
        (($(id -u "$name") < 1000)) || usermod --append --groups students "$name" # a teacher may log in, too
        echo "$name has an account already, and keeps its password and its files" >&2
        continue
    fi
    useradd --create-home --skel "$home" --key HOME_MODE=0700 --groups students --shell /bin/bash "$name"
    password=$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')
    echo "$name:$password" | chpasswd
    echo "$name $password"
done
