"""site.last_good.yaml: the settings with which the server last ran, in case site.yaml becomes invalid.

`server run` writes settings and rules to it after Headscale has started with them. So a typo, or an edit that a power
cut interrupted, does not stop the site: the server starts with this file, and every command reports that. Commands that
would rewrite site.yaml still refuse, because they would overwrite a person's edit.
"""
import os
from typing import Optional, Tuple

from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError
from ua_overlay.site.site import SITE_FILE, Site, dump_site, parse_site
from ua_overlay.system import files, foreign_file

LAST_GOOD_FILE = 'site.last_good.yaml'
_HEADER = ('## The last good settings, written by `ua-overlay server run`: used when site.yaml is invalid.\n'
           '## Edit site.yaml instead.\n')


def save(site: Site) -> None:
    """Write the settings and rules of ``site``, which are in force.

    :raises OSError: the file cannot be written; the old one stays.
    """
    path, text = site.path(LAST_GOOD_FILE), _HEADER + dump_site(site.settings, site.rules)
    if _read(path) != text:
        files.write_secret(path, text)


def load(directory: str) -> Tuple[Site, Optional[OverlayError]]:
    """Return the site in ``directory`` with the settings that its server would use now.

    :returns: (the site, None); or (the site with its last good settings, the error of site.yaml).
    :raises OverlayError: site.yaml is invalid or missing, and there are no last good settings.
    """
    try:
        return Site.load(directory), None
    except OverlayError as error:
        problem = error
    path = os.path.join(directory, LAST_GOOD_FILE)
    text = _read(path)
    if not text:
        raise problem
    try:
        settings, rules = parse_site(text, path)
    except OverlayError:
        # People do not edit that file, so its error would not help.
        raise problem
    site, source = Site(directory, settings, rules), os.path.join(directory, SITE_FILE)
    if not os.path.lexists(source):
        return site, OverlayError('{} is missing.'.format(source),
        command_line('cp -p {} {}', path, source), 'SITE_FILE')
    return site, OverlayError(problem.sentence, command_line('edit {}, then ', source) + site.command('policy apply'),
                              'SITE_FILE')


def sentence(problem: OverlayError) -> str:
    """Format the ``problem`` of :func:`load` for people, with the settings that the server uses instead."""
    return '{} The server keeps running with its last good settings ({}).'.format(problem.sentence, LAST_GOOD_FILE)


def _read(path: str) -> str:
    """Return the text of a file, '' when it cannot be read."""
    try:
        return foreign_file.read_text(path)
    except OSError:
        return ''
