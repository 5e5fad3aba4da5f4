; path.nsh: our folder in the machine's PATH, put in and taken out without harm to the rest.
;
; NSIS' own strings end at 1024 characters, and "ReadRegStr, append, WriteRegStr" has cut many a PATH there; setx cuts at
; 1024 too. Here the value never becomes a string of NSIS: it is read into memory as large as it is, changed there by
; Windows' own string functions and written back with the type that it had (REG_EXPAND_SZ or REG_SZ). A value of any other
; type, and one that would pass the 32,767 characters of an environment, is left alone.
;
; What is put in is exactly `;FOLDER` at the end, and exactly that is taken out, wherever it is by then: an upgrade and a
; removal leave the other entries, their order, empty entries and variables as they were. An entry counts as ours only
; if it is the whole entry, whatever its case.

!ifndef LKLFS_PATH
!define LKLFS_PATH

!define ENVIRONMENT "SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
; HKEY_LOCAL_MACHINE as the 64-bit number that it is: 0x80000002, sign-extended.
!define HKLM_HANDLE "-2147483646"
; KEY_QUERY_VALUE | KEY_SET_VALUE
!define PATH_ACCESS 3
!define PATH_MOST 32767

; Opens the key and reads the value with room for a folder.
; In: $0 the folder. Out: $1 the key, or 0; $2 the value in memory, or 0 when it cannot be used; $3 its type;
; $4 a copy, `;VALUE;`, to search in; $5 where `;FOLDER;` is in that copy, or 0.
!macro PathRead
  StrCpy $2 0
  StrCpy $4 0
  StrCpy $5 0
  System::Call 'advapi32::RegOpenKeyExW(p ${HKLM_HANDLE}, w "${ENVIRONMENT}", i 0, i ${PATH_ACCESS}, *p .r1) i .r6'
  ${If} $6 <> 0
    StrCpy $1 0
  ${Else}
    System::Call 'advapi32::RegQueryValueExW(p r1, w "Path", p 0, *i .r3, p 0, *i .r7) i .r6'
    ${If} $6 = 2
      ; ERROR_FILE_NOT_FOUND: no PATH at all. An empty one of the usual type.
      StrCpy $3 2
      StrCpy $7 0
      StrCpy $6 0
    ${EndIf}
    ${If} $6 = 0
      ${If} $3 = 1
      ${OrIf} $3 = 2
        StrLen $8 $0
        ; Bytes of the value, of the folder, of two semicolons and of a zero.
        IntOp $8 $8 + 4
        IntOp $8 $8 * 2
        IntOp $8 $8 + $7
        ; Zeroed memory: the value ends where it should even if the registry's does not.
        System::Alloc $8
        Pop $2
        System::Alloc $8
        Pop $4
        ${If} $2 == 0
        ${OrIf} $4 == 0
          StrCpy $2 0
        ${Else}
          ${If} $7 > 0
            System::Call 'advapi32::RegQueryValueExW(p r1, w "Path", p 0, *i .r3, p r2, *i r7r7) i .r6'
          ${EndIf}
          System::Call 'kernel32::lstrcpyW(p r4, w ";")'
          System::Call 'kernel32::lstrcatW(p r4, p r2)'
          System::Call 'kernel32::lstrcatW(p r4, w ";")'
          System::Call 'shlwapi::StrStrIW(p r4, w ";$0;") p .r5'
        ${EndIf}
      ${EndIf}
    ${EndIf}
  ${EndIf}
!macroend

; Writes the text at $6 (in memory) back, with the type of $3, and tells the desktop.
!macro PathWrite
  System::Call 'kernel32::lstrlenW(p r6) i .r7'
  IntOp $7 $7 + 1
  IntOp $7 $7 * 2
  System::Call 'advapi32::RegSetValueExW(p r1, w "Path", i 0, i r3, p r6, i r7) i .r8'
  ; WM_SETTINGCHANGE: programs that are started from now on see it.
  SendMessage ${HWND_BROADCAST} ${WM_SETTINGCHANGE} 0 "STR:Environment" /TIMEOUT=2000
!macroend

!macro PathClose
  ${If} $2 != 0
    System::Free $2
  ${EndIf}
  ${If} $4 != 0
    System::Free $4
  ${EndIf}
  ${If} $1 != 0
    System::Call 'advapi32::RegCloseKey(p r1)'
  ${EndIf}
!macroend

; In: $0 the folder. Out: $9 is 1 if it was put in, 0 if it was there, -1 if it cannot be.
Function PathAdd
  StrCpy $9 -1
  !insertmacro PathRead
  ${If} $2 != 0
    ${If} $5 != 0
      StrCpy $9 0
    ${Else}
      System::Call 'kernel32::lstrlenW(p r2) i .r7'
      StrLen $8 $0
      IntOp $8 $8 + $7
      ${If} $8 < ${PATH_MOST}
        ${If} $7 > 0
          System::Call 'kernel32::lstrcatW(p r2, w ";")'
        ${EndIf}
        System::Call 'kernel32::lstrcatW(p r2, w "$0")'
        StrCpy $6 $2
        !insertmacro PathWrite
        ${If} $8 = 0
          StrCpy $9 1
        ${EndIf}
      ${EndIf}
    ${EndIf}
  ${EndIf}
  !insertmacro PathClose
FunctionEnd

; In: $0 the folder. Takes it out if it is there.
!macro PathRemove un
Function ${un}PathRemove
  !insertmacro PathRead
  ${If} $2 != 0
  ${AndIf} $5 != 0
    ; Move what follows `;FOLDER` over it: its semicolon, the rest, the zero.
    StrLen $7 $0
    IntOp $7 $7 + 1
    IntOp $7 $7 * 2
    IntPtrOp $6 $5 + $7
    System::Call 'kernel32::lstrlenW(p r6) i .r8'
    IntOp $8 $8 + 1
    IntOp $8 $8 * 2
    System::Call 'ntdll::RtlMoveMemory(p r5, p r6, p r8)'
    ; The copy is `;REST;`, or `;` alone.
    System::Call 'kernel32::lstrlenW(p r4) i .r7'
    ${If} $7 < 2
      System::Call 'advapi32::RegDeleteValueW(p r1, w "Path") i .r8'
    ${Else}
      IntOp $7 $7 - 1
      IntOp $7 $7 * 2
      IntPtrOp $6 $4 + $7
      System::Call '*$6(&i2 0)'
      IntPtrOp $6 $4 + 2
      !insertmacro PathWrite
    ${EndIf}
  ${EndIf}
  !insertmacro PathClose
FunctionEnd
!macroend

!insertmacro PathRemove ""
!insertmacro PathRemove "un."

!endif
